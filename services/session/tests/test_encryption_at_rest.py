"""Content is encrypted at rest: no plaintext in rows, log records or log lines."""

import base64
import logging
from typing import Any
from uuid import uuid4

import pytest
from session_support.client import HISTORY
from session_support.components import components_on
from session_support.log_reading import outbox_is_empty, records_in
from session_support.service import MASTER_KEY

from parley_core.log import Brokers, ensure_topic
from parley_core.storage.postgres_pool import Pool
from parley_events.topics import TopicSpec
from parley_testing.eventually import eventually

WORDS = (
    *("title", "metadata_key", "metadata_value", "question", "answer", "details", "partial"),
    *("cancelled", "idempotency_key", "too_large", "malformed", "renamed", "changed"),
    *("imported", "summary"),
)
# Each is found by its own word only.
PRIVATE = {word: f"{word}~{word}~{word}" for word in WORDS}


def hidden_in(raw: str) -> list[str]:
    """Search patterns for the text: plain, as hex, and as base64 at each alignment."""
    found = []
    for name, text in PRIVATE.items():
        forms = {text.lower(), text.encode().hex()}
        for shift in range(3):
            encoded = base64.b64encode(b"\x00" * shift + text.encode()).decode()
            # Without the first and last characters, which depend on adjacent bytes.
            forms.add(encoded[4 : len(encoded) - 4].lower())
        if any(form in raw.lower() for form in forms):
            found.append(name)
    return found


async def every_row(pool: Pool) -> str:
    tables = await pool.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    rows = []
    for table in tables:
        name = table["tablename"]
        rows += await pool.fetch(f"SELECT t::text AS row FROM {name} AS t")
        if name == "sessions":
            assert rows
    return "\n".join(row["row"] for row in rows)


def test_the_search_of_this_test_finds_planted_text() -> None:
    text = PRIVATE["answer"]
    assert hidden_in(f"x{text}y") == ["answer"]
    assert hidden_in(f"\\x00{text.encode().hex()}") == ["answer"]
    for before in ("", "a", "ab"):
        assert hidden_in(base64.b64encode(f"{before}{text}z".encode()).decode()) == ["answer"]


async def test_rows_records_and_log_lines_contain_no_plaintext(
    serve: Any, pool: Pool, kafka_bootstrap: str, topic: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await ensure_topic(Brokers(kafka_bootstrap), TopicSpec(topic, 4, 1, 1))
    session = await serve(kafka_bootstrap_servers=kafka_bootstrap, session_topic_sessions=topic)
    body = {
        "title": PRIVATE["title"],
        "metadata": {PRIVATE["metadata_key"]: PRIVATE["metadata_value"]},
    }
    response = await session.call("POST", "/sessions", body, key=PRIVATE["idempotency_key"])
    session_id = response.body["id"]

    async def claimed() -> tuple[dict[str, Any], str]:
        turn = await session.submit(
            session_id, PRIVATE["question"], key=PRIVATE["idempotency_key"] + str(uuid4())
        )
        runner = str(uuid4())
        await session.claim(turn["id"], runner)
        return turn, runner

    turn, runner = await claimed()
    # A rejected end must not be logged either.
    await session.complete(turn["id"], runner, content=PRIVATE["too_large"] * 60_000)
    await session.complete(turn["id"], runner, content=PRIVATE["answer"], usage=PRIVATE["answer"])
    await session.complete(turn["id"], runner, content=PRIVATE["answer"])
    turn, runner = await claimed()
    more = {"details": PRIVATE["details"], "partial_content": PRIVATE["partial"]}
    await session.fail(turn["id"], runner, **more)
    turn, runner = await claimed()
    await components_on(pool).cancel(turn)
    await session.complete(turn["id"], runner, content=PRIVATE["cancelled"])
    await session.call(
        "POST", f"/sessions/{session_id}/messages", b'{"content": "' + PRIVATE["malformed"].encode()
    )

    changes = {"title": PRIVATE["renamed"], "metadata": {"a": PRIVATE["changed"]}}
    changed = await session.call("PATCH", f"/sessions/{session_id}", changes)
    messages_to_import = {"messages": [{"role": "user", "content": PRIVATE["imported"]}]}
    await session.call("POST", f"/sessions/{session_id}/import", messages_to_import)
    summary = {"up_to_message_id": turn["reply_id"], "summary": PRIVATE["summary"]}
    await session.end(f"/sessions/{session_id}/compaction", summary | {"model": "demo"})
    await session.call("POST", f"/sessions/{session_id}/fork", {})

    # The owner can read all of it.
    assert set(hidden_in(str(changed.body))) == {"renamed", "changed"}
    switched = await session.call("POST", "/switch-assistant", {"assistant_id": "helper"})
    assert {"question", "answer", "partial", "cancelled", "renamed", "imported"} <= set(
        hidden_in(str(switched.body))
    )
    await eventually(lambda: outbox_is_empty(pool))
    rows = await every_row(pool)
    assert hidden_in(rows) == []
    records = await records_in(kafka_bootstrap, topic)
    assert len(records) == 1 + 3 + 3 + 4 + 2 + 1 + 1 + 1 + 7
    raw = b"".join(
        record.key
        + record.value
        + b"".join(name.encode() + value for name, value in record.headers)
        for record in records
    )
    assert hidden_in(raw.decode()) == []
    assert hidden_in(caplog.text) == []
    # No data key is stored in plaintext.
    keys = await session.call(
        "POST", "/keys", {"session_ids": [session_id]}, who=HISTORY, issuer="history"
    )
    secret = base64.b64decode(keys.body["keys"][session_id])
    for text in (rows, raw.decode(), caplog.text):
        assert secret.hex() not in text
        assert base64.b64encode(secret).decode() not in text
        assert MASTER_KEY.partition(":")[2] not in text
