"""Records of the acts of operators, who have the database and not a token."""

from uuid import uuid4

from parley_core.auth.caller import Caller
from parley_core.auth.principal import Principal
from parley_events.audit import AuditAction, AuditData, AuditOutcome
from parley_session.application.audit.audit_data import audit_data

OPERATOR = Principal("parley", "operator")


def operator_act(
    command: str,
    action: AuditAction,
    *objects: tuple[str, object],
    outcome: AuditOutcome = "allowed",
) -> AuditData:
    """An act in no tenant; its request id names the run of the command.

    Appended before its first effect, it is `allowed`; in the only commit of the act, `done`.
    """
    caller = Caller(OPERATOR, f"{command}-{uuid4()}")
    return audit_data(caller, action, *objects, outcome=outcome, as_system=True)
