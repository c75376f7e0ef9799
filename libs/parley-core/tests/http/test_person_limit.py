"""Concurrent work is limited in total and per person."""

from contextlib import ExitStack
from typing import Any

import pytest

from parley_core.auth.principal import Principal
from parley_core.http.errors import ParleyError
from parley_core.http.person_limit import PersonLimit

ADA, BOB = Principal("acme", "ada"), Principal("acme", "bob")


def refusal(limit: Any, principal: Any) -> Any:
    with pytest.raises(ParleyError) as refused, limit.slot(principal):
        pass
    assert refused.value.headers["retry-after"]
    return refused.value.status, refused.value.code


def test_a_person_with_their_share_is_refused_and_others_are_not() -> None:
    limit = exports_limit(4, 0.5)
    with ExitStack() as held:
        for _ in range(2):
            held.enter_context(limit.slot(ADA))
        assert refusal(limit, ADA) == (429, "too_many_exports")
        assert refusal(limit, Principal("acme", "ada", frozenset({"admin"})))[0] == 429
        for other in (BOB, Principal("other", "ada")):
            held.enter_context(limit.slot(other))
        assert refusal(limit, BOB) == (503, "history_busy")
    with limit.slot(ADA):
        pass


def test_everybody_may_have_one() -> None:
    limit = exports_limit(10, 0.01)
    with limit.slot(ADA), limit.slot(BOB):
        assert refusal(limit, ADA) == (429, "too_many_exports")


def exports_limit(max_total: int, max_person_share: float) -> PersonLimit:
    return PersonLimit(
        max_total,
        max_person_share,
        things="exports",
        person_code="too_many_exports",
        busy_code="history_busy",
    )
