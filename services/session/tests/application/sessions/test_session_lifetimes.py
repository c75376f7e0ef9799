"""What clients learn about the life of sessions before they start or delete one."""

from parley_session.application.sessions.session_lifetimes import SessionLifetimes
from parley_session.domain.retention_policy import RetentionPolicies, RetentionPolicy


def test_the_undelete_window_is_that_of_the_most_specific_policy() -> None:
    policies = RetentionPolicies(
        [RetentionPolicy(tenant="acme", undelete_days=1), RetentionPolicy(assistant_id="brief")]
    )
    lifetimes = SessionLifetimes(policies, temporary_hours=2)

    assert lifetimes.of("acme", "brief") == {"undelete_seconds": 86_400, "temporary_seconds": 7_200}
    assert lifetimes.of("other", "brief")["undelete_seconds"] == 0


def test_replaced_policies_apply_at_once() -> None:
    policies = RetentionPolicies()
    lifetimes = SessionLifetimes(policies, temporary_hours=24)
    policies.replace(RetentionPolicies([RetentionPolicy(undelete_days=0.5)]))

    assert lifetimes.of("acme", "helper")["undelete_seconds"] == 43_200
