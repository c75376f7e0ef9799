"""Limit rules, and the ways in which their file can be invalid."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from parley_core.auth.principal import Credential, Principal
from parley_core.limits.refusals import BudgetExceeded, LimitExceeded, format_duration
from parley_core.limits.rules import Limit, LimitRules
from parley_core.limits.rules_file import read_limit_rules
from parley_core.runtime.settings import InvalidSettings

FILE = """
limits:
  - {turns_per_minute: 60, requests_per_minute: 600}
  - {tenant: acme, turns_per_minute: 30}
  - {scope: beta, turns_per_minute: 31}
  - {scope: gold, turns_per_minute: 310}
  - {model: large, turns_per_minute: 5, tokens_per_day: 1000}
  - {tenant: acme, user: ada, turns_per_minute: 7}
  - {tenant: acme, user: ada, model: large, open_turns: 1}
  - {api_key: k-1, turns_per_minute: 0}
"""
ADA = Principal("acme", "ada")


def read(tmp_path: Path, text: str) -> LimitRules:
    path = tmp_path / "limits.yaml"
    path.write_text(text)
    return read_limit_rules(path)


def value_of(name: str, limits: Sequence[Limit]) -> int:
    [value] = [limit.value for limit in limits if limit.name == name]
    return value


def test_without_a_file_nothing_is_limited() -> None:
    rules = read_limit_rules(None)
    assert rules.of(ADA, "large") == ()
    assert not rules.limit_any(["turns_per_minute"])


@pytest.mark.parametrize(
    ("principal", "model", "turns"),
    [
        (Principal("other", "eve"), "small", 60),
        (Principal("acme", "eve"), "small", 30),
        (Principal("acme", "eve", frozenset({"beta"})), "small", 31),
        (Principal("acme", "eve", frozenset({"beta", "gold"})), "small", 310),
        (Principal("acme", "eve", frozenset({"gold"})), "large", 5),
        (ADA, "large", 7),
        (Principal("acme", "ada", api_key="k-1"), "large", 0),
    ],
)
def test_the_most_specific_rule_decides(
    tmp_path: Path, principal: Principal, model: str, turns: int
) -> None:
    assert value_of("turns_per_minute", read(tmp_path, FILE).of(principal, model)) == turns


def test_each_limit_is_decided_separately(tmp_path: Path) -> None:
    limits = read(tmp_path, FILE).of(ADA, "large")
    assert limits == [
        Limit("requests_per_minute", 600),
        Limit("turns_per_minute", 7),
        Limit("open_turns", 1, model="large"),
        Limit("tokens_per_day", 1000, model="large"),
    ]


def test_the_limit_of_a_tenant_applies_beside_that_of_a_person(tmp_path: Path) -> None:
    rules = read(
        tmp_path,
        """
limits:
  - {turns_per_minute: 9}
  - {turns_per_minute: 90, per: tenant}
  - {tenant: acme, turns_per_minute: 900, per: tenant}
""",
    )
    assert rules.of(ADA) == [
        Limit("turns_per_minute", 9),
        Limit("turns_per_minute", 900, per="tenant"),
    ]
    assert rules.of(ADA)[0].subject("ada") != rules.of(ADA)[1].subject("ada")
    assert rules.of(ADA)[1].subject("ada") == rules.of(ADA)[1].subject("eve")


def test_a_rule_that_names_a_key_or_a_model_counts_these_alone() -> None:
    limits = [
        Limit("open_turns", 1),
        Limit("open_turns", 1, "k-1"),
        Limit("open_turns", 1, "k-1", "large"),
        Limit("open_turns", 1, model="large"),
    ]
    assert len({limit.subject(user) for limit in limits for user in ("ada", "eve")}) == 8


def test_the_limits_of_a_person_include_those_of_single_models(tmp_path: Path) -> None:
    limits = read(tmp_path, FILE).of_every_model(Principal("other", "eve"))
    assert [(limit.name, limit.model, limit.value) for limit in limits] == [
        ("requests_per_minute", None, 600),
        ("turns_per_minute", None, 60),
        ("turns_per_minute", "large", 5),
        ("tokens_per_day", "large", 1000),
    ]


def test_a_limit_of_an_api_key_ends_with_the_last_rule_that_limits_the_same(
    tmp_path: Path,
) -> None:
    own = Credential(limits=frozenset({("turns_per_minute", 1), ("cost_per_day", 2)}))
    program = Principal("acme", "ada", api_key="k-2", credential=own)
    rules = read(tmp_path, "limits: [{turns_per_minute: 9}, {user: eve, cost_per_day: 9}]")
    assert Limit("cost_per_day", 2, "k-2") in rules.of(program)
    rules.replace(read(tmp_path, "limits: [{turns_per_minute: 9}]"))
    assert rules.of(program) == [
        Limit("turns_per_minute", 9),
        Limit("turns_per_minute", 1, "k-2"),
    ]


def test_replaced_rules_apply_to_those_who_were_remembered(tmp_path: Path) -> None:
    rules = read(tmp_path, FILE)
    assert value_of("turns_per_minute", rules.of(ADA)) == 7
    rules.replace(read(tmp_path, "limits: [{turns_per_minute: 1}]"))
    assert value_of("turns_per_minute", rules.of(ADA)) == 1


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("limits:\n  - {turns_per_minute: 1}\n  - {tenant: acme}\n", 3),
        ("limits:\n  - {turns_per_minute: 1}\n  - {open_turns: 2}\n", 3),
        ("limits:\n  - tenant: a\n    turns_per_minute: -1\n", 3),
        ("limits:\n  - tenant: a\n    tokens_per_day: 1000000000000000000\n", 3),
        ("limits:\n  - tenant: a\n    cost_per_month: 1000000000000000000\n", 3),
        ("limits:\n  - tenant: a\n    cost_per_day: 0.5\n", 3),
        ("limits:\n  - {cost_per_day: 1}\n  - {cost_per_month: 1}\n", 3),
        ("limits:\n  - tenant: a\n    open_turns: 1001\n", 3),
        ("limits:\n  - tenant: a\n    turns_per_minute: 1.5\n", 3),
        ("limits:\n  - tenant: a\n    turns_per_hour: 1\n", 3),
        ("limits:\n  - tenant: ''\n    turns_per_minute: 1\n", 2),
        ("limits:\n  - {model: large, open_streams: 1}\n", 2),
        ("limits:\n  - {user: ada, per: tenant, open_turns: 1}\n", 2),
        ("limits:\n  - {per: world, open_turns: 1}\n", 2),
        ("limits: 1\n", 1),
        ("", 1),
    ],
)
def test_an_invalid_file_is_refused_with_its_line(tmp_path: Path, text: str, line: int) -> None:
    with pytest.raises(InvalidSettings, match=rf"^PARLEY_LIMITS_FILE is wrong: .*\(line {line}\)"):
        read(tmp_path, text)


def test_more_rules_than_are_read_are_refused(tmp_path: Path) -> None:
    rules = "".join(f"  - {{user: u{number}, open_turns: 1}}\n" for number in range(1_001))
    with pytest.raises(InvalidSettings):
        read(tmp_path, f"limits:\n{rules}")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "1s"), (59.5, "1m0s"), (360, "6m0s"), (86_341, "23h59m1s")]
)
def test_durations_are_written_as_openai_does(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


def test_a_refusal_names_the_limit_and_when_to_retry() -> None:
    refused = LimitExceeded(Limit("turns_per_minute", 60), 22.3)
    assert (refused.status, refused.code) == (429, "rate_limit_exceeded")
    assert (refused.param, refused.headers) == ("turns_per_minute", {"retry-after": "23"})
    daily = LimitExceeded(Limit("tokens_per_day", 1000), 3600)
    assert (daily.code, daily.param) == ("quota_exceeded", "tokens_per_day")
    assert daily.headers == {
        "retry-after": "3600",
        "x-should-retry": "false",
        "x-ratelimit-limit-tokens": "1000",
        "x-ratelimit-remaining-tokens": "0",
        "x-ratelimit-reset-tokens": "1h0m0s",
    }


def refused_budget(spent: int) -> BudgetExceeded:
    return BudgetExceeded(
        Limit("cost_per_month", 5_000_000, per="tenant"),
        "USD",
        spent=spent,
        reserved=20_000,
        cost=1,
        renews_at=datetime(2027, 1, 1, tzinfo=UTC),
        now=datetime(2026, 12, 31, 23, tzinfo=UTC),
    )


def test_a_refusal_names_the_budget_and_when_it_renews() -> None:
    spent = refused_budget(spent=5_000_000)
    assert (spent.status, spent.code, spent.param) == (429, "quota_exceeded", "cost_per_month")
    assert spent.headers == {"retry-after": "3600", "x-should-retry": "false"}
    assert "5.000000 USD" in spent.message
    assert "of the tenant" in spent.message
    assert "0.020000 reserved" in spent.message
    assert "2027-01-01T00:00:00Z" in spent.message


def test_a_budget_that_is_only_reserved_may_be_tried_again_soon() -> None:
    assert refused_budget(spent=4_999_999).headers == {"retry-after": "1"}
