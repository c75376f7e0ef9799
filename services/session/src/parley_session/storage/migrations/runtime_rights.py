"""Rights of session's role, which serves in a database that another role migrates (ADR 53)."""

from parley_core.storage.database_roles import Rights, admit_role, grant_rights, require_rights
from parley_core.storage.migrations import has_later_migrations, load_migrations
from parley_session.storage.database import Connection
from parley_session.storage.migrations import MIGRATIONS

ROLE_VARIABLE = "PARLEY_SESSION_DATABASE_RUNTIME_ROLE"

# Events can only be appended: the past is not this role's to change.
_EVENTS = "SELECT, INSERT"
_OUTBOX = "SELECT, INSERT, DELETE"

RUNTIME_RIGHTS: Rights = {
    "schema_migrations": "SELECT",
    "sessions": "SELECT, INSERT, UPDATE",
    "events": _EVENTS,
    "outbox": _OUTBOX,
    "turns": "SELECT, INSERT, UPDATE",
    "runners": "SELECT, INSERT, UPDATE, DELETE",
    "sweeper": "SELECT, UPDATE",
    "remembered_requests": "SELECT, INSERT, DELETE",
    "search_keys": "SELECT, INSERT, UPDATE, DELETE",
    "assistants": "SELECT, INSERT, UPDATE",
    "assistant_events": _EVENTS,
    "assistant_outbox": _OUTBOX,
    "installation_key": "SELECT, INSERT, UPDATE",
    "api_keys": "SELECT, INSERT, UPDATE",
    "api_key_events": _EVENTS,
    "api_key_outbox": _OUTBOX,
    "revocations": "SELECT, INSERT, UPDATE, DELETE",
    "audit_chain": "SELECT, UPDATE",
    "audit_records": _EVENTS,
    "audit_outbox": _OUTBOX,
    "turn_counts": "SELECT, INSERT, UPDATE, DELETE",
    "daily_costs": "SELECT, INSERT, UPDATE, DELETE",
    "cost_reservations": "SELECT, INSERT, UPDATE, DELETE",
}


async def grant_runtime_rights(connection: Connection, role: str) -> None:
    """Give the role its rights and no others; those of a later version stay.

    Raises MigrationError.
    """
    async with connection.transaction():
        await admit_role(connection, role, ROLE_VARIABLE)
        if not await has_later_migrations(connection, load_migrations(MIGRATIONS)):
            await grant_rights(connection, role, RUNTIME_RIGHTS)


async def require_runtime_rights(connection: Connection) -> None:
    """Raise MigrationsPending unless the connected role may do what session does."""
    await require_rights(connection, RUNTIME_RIGHTS, ROLE_VARIABLE)
