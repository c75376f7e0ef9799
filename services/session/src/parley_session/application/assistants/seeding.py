"""Seeds the shared assistants from their definitions file, when the database is migrated.

This does not happen at startup: during a deployment, a restarting process may have the old file.
"""

from collections.abc import Mapping
from uuid import uuid4

from parley_core.auth.caller import Caller
from parley_core.auth.principal import service_principal
from parley_session.application.audit.audit_data import audited_assistant
from parley_session.application.command_executor import command_metadata_for, utc_now
from parley_session.domain.assistant.decide import (
    AssistantCommand,
    RetireAssistant,
    SeedAssistant,
    decide_assistant,
)
from parley_session.domain.assistant.state import Definition
from parley_session.storage.assistant_store import AssistantStore
from parley_session.storage.database import Connection


async def seed_assistants(connection: Connection, definitions: Mapping[str, Definition]) -> int:
    """Define, revise and retire shared assistants in one transaction; return how many changed.

    Idempotent, and safe to run in several processes at once.
    """
    store = AssistantStore(connection)
    caller = Caller(service_principal("session"), f"migrate-{uuid4()}")
    async with connection.transaction():
        await store.lock_for_seeding()
        removed = set(await store.shared_ids()) - set(definitions)
        commands: dict[str, AssistantCommand] = {
            **{assistant_id: SeedAssistant(each) for assistant_id, each in definitions.items()},
            **{assistant_id: RetireAssistant() for assistant_id in sorted(removed)},
        }
        changed = 0
        for assistant_id, command in commands.items():
            assistant = await store.load(None, assistant_id)
            metadata = command_metadata_for(caller, utc_now(), as_system=True)
            event = decide_assistant(None, assistant_id, assistant, command, metadata)
            if event is not None:
                audited = audited_assistant(event, assistant_id, caller)
                await store.append(assistant, event, audited)
                changed += 1
        return changed
