"""`append-simulated` fills an empty event store; its content can be read, or was erased."""

import json
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from session_support.components import Components
from session_support.process import Run

from parley_core.crypto.sealing import unseal
from parley_core.storage.postgres_pool import Pool
from parley_events.session import (
    CompletionServed,
    MessageSubmitted,
    ReplyCompleted,
    ReplyRequested,
    SessionErased,
    SessionStarted,
)
from parley_events.uuid7 import uuid7_after
from parley_session.application.command_executor import utc_now

Simulated = tuple[Any, dict[str, Any], dict[str, Any]]
"""The type of an event, its data, and the content of its sealed fields."""

ACTOR = {"tenant": "default", "user": "ada"}
OWNER = {"owner": "ada", "tenant": "default"}
TEXT = {"text": "Simulated."}
USAGE = {"prompt_tokens": 10, "completion_tokens": 5}
TURN, REPLY, MESSAGE = (str(uuid4()) for _ in range(3))
STARTED: Simulated = (
    SessionStarted,
    {**OWNER, "assistant_id": "helper", "assistant_version": 1},
    {},
)


def lines(*events: Simulated) -> tuple[UUID, list[dict[str, Any]]]:
    """A session, and its lines."""
    session_id, event_id, now, made = uuid4(), None, utc_now(), []
    for sequence, (kind, data, content) in enumerate(events, start=1):
        event_id = uuid7_after(event_id, now, sequence)
        sealed = dict.fromkeys(content, "AXNpbXVsYXRlZA==")
        made.append(
            {
                "session_id": str(session_id),
                "id": str(event_id),
                "sequence": sequence,
                "time": now.isoformat(),
                "type": kind.TYPE,
                "data": json.dumps({"actor": ACTOR, "request_id": "req-1", **data, **sealed}),
                "content": content,
            }
        )
    return session_id, made


async def test_simulated_sessions_are_appended_to_an_empty_store_all_or_none(
    run: Run, store_database: str, components: Components, pool: Pool, tmp_path: Path
) -> None:
    turn = {"turn_id": TURN, "reply_id": REPLY}
    answered, first = lines(
        STARTED,
        (MessageSubmitted, {"message_id": MESSAGE, "tokens": 3}, {"content": TEXT}),
        (
            ReplyRequested,
            {**turn, "parent_message_id": MESSAGE, "assistant_version": 1, "model": "fast"},
            {},
        ),
        (
            ReplyCompleted,
            {
                **(turn | {"model": "fast", "usage": USAGE, "finish_reason": "stop"}),
                **{"first_token_ms": 10, "total_ms": 20},
            },
            {"content": TEXT},
        ),
    )
    erased, second = lines(STARTED, (SessionErased, {"reason": "requested"}, {}))
    completion = {**OWNER, "model": "fast", "status": "completed", "usage": USAGE}
    _, third = lines((CompletionServed, completion, {}))
    file = tmp_path / "events.jsonl"
    interleaved = [first[0], *second, *third, *first[1:]]
    file.write_text("".join(json.dumps(line) + "\n" for line in interleaved))

    incomplete = tmp_path / "incomplete.jsonl"
    incomplete.write_text("".join(json.dumps(line) + "\n" for line in [*second, first[1]]))
    with pytest.raises(RuntimeError, match="predecessor"):
        await run(f"append-simulated {incomplete}", store_database)
    [(sessions,)] = await pool.fetch("SELECT count(*) FROM sessions")
    assert sessions == 0

    ended = await run(f"append-simulated {file}", store_database)
    assert (ended.code, ended.stderr) == (0, "")
    loaded = await components.store.load(answered)
    assert loaded is not None
    [_, submitted, _, completed] = await components.store.events_at(answered, range(1, 5))
    for event in (submitted, completed):
        assert isinstance(event.data, MessageSubmitted | ReplyCompleted)
        content = unseal(
            loaded.key,
            event.data.content,
            session_id=answered,
            event_id=event.id,
            field="content",
        )
        assert content == TEXT
    assert await components.store.data_keys([erased]) == {erased: None}
    [(queued,)] = await pool.fetch("SELECT count(*) FROM outbox")
    assert queued == len(interleaved)
    [(open_turns,)] = await pool.fetch("SELECT count(*) FROM turns WHERE ended_sequence IS NULL")
    assert open_turns == 0

    again = await run(f"append-simulated {file}", store_database)
    assert again.code == 1
    assert "empty store" in again.stderr
