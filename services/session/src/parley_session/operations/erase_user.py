"""`erase-user`: revokes the API keys of a person and erases all their sessions, without an undelete
window.
"""

import argparse
import asyncio
import sys

from parley_core.auth.caller import Caller
from parley_core.auth.principal import Principal
from parley_core.crypto.master_keys import KeyUnavailable
from parley_core.crypto.sealing import UnsealError
from parley_core.http.errors import Unavailable
from parley_core.runtime.background_tasks import background_loops
from parley_core.runtime.settings import load
from parley_core.storage.migrations import require_database_migrated
from parley_core.storage.postgres_pool import Pool, open_pool
from parley_session.application.api_keys import ApiKeys
from parley_session.application.command_executor import CommandExecutor, utc_now
from parley_session.application.sessions.delete_session import SessionDeletion
from parley_session.key_management.keyring import opened_keyring
from parley_session.operations.confirmation import is_confirmed
from parley_session.operations.operator_acts import OPERATOR
from parley_session.operations.progress import Progress
from parley_session.settings import EraseUserSettings
from parley_session.storage.event_store import EventStore
from parley_session.storage.keys.api_key_store import ApiKeyStore
from parley_session.storage.keys.installation_key import InstallationKey
from parley_session.storage.migrations import MIGRATIONS
from parley_session.storage.session_index import SessionIndex

_BATCH_SIZE = 100
_BATCH_SECONDS = 5
# Within this time every gateway refuses a revoked key, unless it cannot reach the session service.
REVOCATION_SECONDS = 2.0
_OPERATOR = Caller(OPERATOR, "erase-user")

_NOT_PUBLISHED = (
    "The gateways were not notified through Redis (PARLEY_REDIS_URL): they may show cached history "
    "for up to 30 seconds."
)

_COUNTS = """
SELECT count(*) FILTER (WHERE NOT held) AS erasable, count(*) FILTER (WHERE held) AS legal_holds
FROM sessions WHERE tenant = $1 AND owner = $2 AND wrapped_key IS NOT NULL
"""


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    added = commands.add_parser("erase-user", help="erase all sessions of a user and exit")
    added.add_argument("--user", required=True, help="user ID")
    added.add_argument("--tenant", default="default", help="tenant of the user (default: default)")
    added.add_argument("--yes", action="store_true", help="skip the confirmation prompt")


def run(arguments: argparse.Namespace) -> int:
    """Raises InvalidSettings, MigrationError."""
    settings = load(EraseUserSettings)
    require_database_migrated(settings.database.url, MIGRATIONS)
    principal = Principal(arguments.tenant, arguments.user)
    return asyncio.run(erase_user(settings, principal, confirmed=arguments.yes))


async def erase_user(settings: EraseUserSettings, principal: Principal, *, confirmed: bool) -> int:
    """Return the exit code: 1 if any session is left, also under a legal hold.

    The relay of a running session service publishes the events.
    """
    # Imported here: the other commands need no Redis client, which takes a tenth of a second.
    from parley_session.application.version_publisher import version_publisher

    pool = open_pool(
        settings.database.url,
        max_connections=1,
        timeout_seconds=settings.database.timeout_seconds,
        application_name="parley-erase-user",
    )
    async with (
        opened_keyring(settings.master_key) as keyring,
        pool,
        version_publisher(settings.redis) as versions,
        background_loops(versions.run),
    ):
        [(erasable, legal_holds)] = await pool.fetch(_COUNTS, principal.tenant, principal.user)
        api_keys = ApiKeys(ApiKeyStore(pool), InstallationKey(pool, keyring), utc_now)
        keys = len(await api_keys.keys_of(principal))
        print(_summary(principal, erasable, legal_holds, keys))
        if (erasable or keys) and not (confirmed or is_confirmed("Erase them permanently?")):
            print("Nothing was erased.")
            return 1
        store = EventStore(pool, keyring, max_cache_bytes=1, publish_version=versions.publish)
        if revoked := await api_keys.revoke_all_of(principal, _OPERATOR):
            print(f"Revoked {revoked:,} API keys.")
            # Until then a program could start sessions that the erasure does not see.
            await asyncio.sleep(REVOCATION_SECONDS)
        code = await _erase(pool, store, principal, erasable)
        if erasable and not versions.is_complete:
            print(_NOT_PUBLISHED, file=sys.stderr)
        return code


async def _erase(pool: Pool, store: EventStore, principal: Principal, total: int) -> int:
    deletion = SessionDeletion(
        CommandExecutor(store),
        SessionIndex(pool),
        undelete_days=lambda _, __: 0,
        clock=utc_now,
    )
    progress, has_more, legal_holds = Progress("Erased", total), True, 0
    try:
        while has_more:
            result = await deletion.erase_all_of(
                principal,
                "operator",
                _OPERATOR,
                as_system=True,
                max_sessions=_BATCH_SIZE,
                max_seconds=_BATCH_SECONDS,
            )
            has_more, legal_holds = result.has_more, result.held
            progress.add(result.erased)
    except (Unavailable, KeyUnavailable, UnsealError) as error:
        print(f"Erased {progress.done:,} sessions, then failed: {error}.", file=sys.stderr)
        return 1
    print(f"Erased {progress.done:,} sessions.")
    return 1 if legal_holds else 0


def _summary(principal: Principal, erasable: int, legal_holds: int, keys: int) -> str:
    keyed = f", {keys:,} API keys" if keys else ""
    kept = f", and {legal_holds:,} under a legal hold that cannot be erased" if legal_holds else ""
    person = f"User {principal.user} of tenant {principal.tenant}"
    return f"{person} has {erasable:,} sessions{keyed}{kept}."
