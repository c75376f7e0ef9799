"""Whose auditors see a record: those of the tenant that it names."""

from parley_core.auth.caller import Caller
from parley_core.auth.principal import Principal, service_principal
from parley_session.application.audit.audit_data import audit_data

PERSON = Caller(Principal("acme", "ada"), "req-1")
PARLEY = Caller(service_principal("session"), "req-2")


def test_an_act_of_a_person_belongs_to_their_tenant() -> None:
    assert audit_data(PERSON, "messages.searched").tenant == "acme"


def test_an_act_of_parley_belongs_to_the_tenant_that_it_concerns_or_to_none() -> None:
    assert audit_data(PARLEY, "session.erased", tenant="acme", as_system=True).tenant == "acme"
    assert audit_data(PARLEY, "limits.changed", as_system=True).tenant is None
