"""The status and type of a failed reply, by its code."""

import pytest

from parley_contracts.api_models import ErrorShape
from parley_gateway.chat_completions.errors import ReplyIncomplete


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("upstream_timeout", 504, "server_error"),
        ("upstream_rate_limited", 429, "rate_limit_error"),
        ("upstream_quota_exceeded", 429, "rate_limit_error"),
        ("upstream_unauthorized", 502, "server_error"),
        ("upstream_new", 502, "server_error"),
        ("context_too_long", 400, "invalid_request_error"),
        ("context_length_exceeded", 400, "invalid_request_error"),
        ("internal", 500, "server_error"),
    ],
)
def test_a_failure_has_the_status_of_its_code(code: str, status: int, kind: str) -> None:
    refusal = ReplyIncomplete(ErrorShape(message="Lost.", type="server_error", code=code))
    assert (refusal.status, refusal.type, refusal.code) == (status, kind, code)
    assert refusal.headers["x-should-retry"] == "false"
