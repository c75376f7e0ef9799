"""Retention policies, and the ways in which their file can be invalid."""

from pathlib import Path

import pytest

from parley_core.runtime.settings import InvalidSettings
from parley_session.application.retention_policy_file import read_retention_policies
from parley_session.domain.retention_policy import RetentionPolicies

FILE = """
policies:
  - {assistant_id: coder, idle_days: 20, undelete_days: 2}
  - {idle_days: 10}
  - {tenant: acme, assistant_id: coder, idle_days: 40}
  - {tenant: acme, idle_days: 30, undelete_days: 3}
  - {tenant: archive, idle_days: never}
"""


def read(tmp_path: Path, text: str) -> RetentionPolicies:
    path = tmp_path / "policies.yaml"
    path.write_text(text)
    return read_retention_policies(path)


def test_without_policies_nothing_expires_and_deletion_erases_at_once() -> None:
    policies = read_retention_policies(None)
    assert policies.idle_days("acme", "coder") is None
    assert policies.shortest_idle_days is None
    assert policies.undelete_days("acme", "coder") == 0


@pytest.mark.parametrize(
    ("tenant", "assistant_id", "idle_days"),
    [
        ("acme", "coder", 40),
        ("acme", "helper", 30),
        ("other", "coder", 20),
        ("other", "helper", 10),
        ("archive", "coder", None),
    ],
)
def test_the_most_specific_policy_decides(
    tmp_path: Path, tenant: str, assistant_id: str, idle_days: int | None
) -> None:
    assert read(tmp_path, FILE).idle_days(tenant, assistant_id) == idle_days


def test_each_value_of_a_policy_is_decided_separately(tmp_path: Path) -> None:
    policies = read(tmp_path, FILE)
    # The policy for both sets no value: the tenant's precedes the assistant's.
    assert policies.undelete_days("acme", "coder") == 3
    assert policies.undelete_days("other", "coder") == 2
    assert policies.undelete_days("other", "helper") == 0


def test_the_shortest_idle_time_is_known(tmp_path: Path) -> None:
    assert read(tmp_path, FILE).shortest_idle_days == 10
    assert read(tmp_path, "policies: [{idle_days: never}]").shortest_idle_days is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("policies: [", "it is not valid YAML"),
        ("", "Expected `object`, got `null`"),
        ("policies: [{tenant: acme}]", "sets neither idle_days nor undelete_days"),
        ("policies: [{idle_days: 1}, {undelete_days: 1}]", "apply to the same sessions"),
        ("policies: [{idle_days: 0}]", "Expected `float` > 0.0"),
        ("policies: [{undelete_days: -1}]", "Expected `float` >= 0.0"),
        ("policies: [{idle_days: soon}]", "Invalid enum value"),
        ("policies: [{days: 1}]", "unknown field `days`"),
    ],
)
def test_an_invalid_file_is_rejected_in_a_sentence(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(InvalidSettings) as rejected:
        read(tmp_path, text)
    assert str(rejected.value).startswith("PARLEY_SESSION_RETENTION_POLICY_PATH is wrong: ")
    assert reason in str(rejected.value)


def test_a_missing_file_is_rejected_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match="it cannot be read \\(No such file or directory\\)"):
        read_retention_policies(tmp_path / "none.yaml")
