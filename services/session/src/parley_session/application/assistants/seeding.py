"""Brings the assistants that every tenant has to what their file says, when a database is migrated.

Not when a process starts: one that starts again during a deployment still has the old file.
"""

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from uuid import uuid4

import asyncpg

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

Connection = asyncpg.Connection

# Any constant does; nobody else takes this lock.
_SEEDING = 0x73656564


async def seed_assistants(
    connection: "Connection[asyncpg.Record]", definitions: Mapping[str, Definition]
) -> int:
    """Define, revise and retire in one transaction, and answer how many changed.

    Any number of processes may call this at once; those with the same file change nothing more.
    """
    store, request_id = AssistantStore(connection), f"migrate-{uuid4()}"
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _SEEDING)
        gone = set(await store.shared_ids()) - set(definitions)
        commands: dict[str, AssistantCommand] = {
            **{assistant_id: SeedAssistant(it) for assistant_id, it in definitions.items()},
            **{assistant_id: RetireAssistant() for assistant_id in sorted(gone)},
        }
        changed = 0
        for assistant_id, command in commands.items():
            assistant = await store.load(None, assistant_id)
            event = decide_assistant(None, assistant_id, assistant, command, _moment(request_id))
            if event is not None:
                await store.append(assistant, event)
                changed += 1
        return changed


def _moment(request_id: str) -> CommandMetadata:
    actor = Actor(tenant="parley", user="session", system=True)
    return CommandMetadata(actor, request_id, datetime.now(UTC), secrets.randbits(74))
