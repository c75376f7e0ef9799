"""The limits of an API key in a request, and those of a rule in a file, are the same ones."""

from parley_core.limits.limit_fields import LimitFields
from parley_core.limits.rules import LIMIT_NAMES
from parley_gateway.schemas.requests import ApiKeyLimits


def test_a_rule_and_an_api_key_may_have_each_limit() -> None:
    assert set(ApiKeyLimits.model_fields) == set(LIMIT_NAMES)
    assert {*LIMIT_NAMES} <= {*LimitFields.__struct_fields__}
