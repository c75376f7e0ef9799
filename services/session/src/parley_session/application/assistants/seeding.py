"""Seeds the shared assistants from their definitions file, when the database is migrated.

This does not happen at startup: during a deployment, a restarting process may have the old file.
"""

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from uuid import uuid4

from parley_events.values import Actor
from parley_session.domain.assistant.decide import (
    AssistantCommand,
    RetireAssistant,
    SeedAssistant,
    decide_assistant,
)
from parley_session.domain.assistant.state import Definition
from parley_session.domain.session.event_builder import CommandMetadata
from parley_session.storage.assistant_store import AssistantStore
from parley_session.storage.database import Connection


async def seed_assistants(connection: Connection, definitions: Mapping[str, Definition]) -> int:
    """Define, revise and retire shared assistants in one transaction; return how many changed.

    Idempotent, and safe to run in several processes at once.
    """
    store, request_id = AssistantStore(connection), f"migrate-{uuid4()}"
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
            event = decide_assistant(None, assistant_id, assistant, command, _metadata(request_id))
            if event is not None:
                await store.append(assistant, event)
                changed += 1
        return changed


def _metadata(request_id: str) -> CommandMetadata:
    actor = Actor(tenant="parley", user="session", system=True)
    return CommandMetadata(actor, request_id, datetime.now(UTC), secrets.randbits(74))
