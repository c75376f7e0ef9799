"""`parley log export`, `sql` and `verify --export` on a stack that ran, compared with the API."""

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from e2e_support.model_server import TOKEN
from e2e_support.stack import Stack
from e2e_support.user import User
from exported_rows import exported_rows

from parley_cli.log.dataset.manifest import load_manifest
from parley_cli.log.dataset.storage_location import storage_at

pytestmark = pytest.mark.asyncio(loop_scope="session")


class Chats:
    """What a user did before the export, and what the API said."""

    def __init__(self, stack: Stack, name: str) -> None:
        self.stack, self.name, self.user = stack, name, stack.user(name)
        self.words = f"words {uuid4()}"
        self.sessions: list[str] = []
        self.erased = ""
        self.first_reply_at = ""
        self.before_second: list[dict[str, Any]] = []

    async def happen(self) -> None:
        for assistant in ("helper", "tutor"):
            session = await self.user.start_session(assistant_id=assistant)
            self.sessions.append(session)
            turn = await self.user.send(session, self.words)
            await self.user.messages(session, turn["version"])
        session = self.sessions[0]
        self.before_second = await self.user.messages(session, 4)
        self.first_reply_at = self.before_second[-1]["created_at"]
        turn = await self.user.send(session, "Again")
        await self.user.messages(session, turn["version"])
        self.erased = await self.user.start_session()
        turn = await self.user.send(self.erased, self.words)
        await self.user.messages(self.erased, turn["version"])
        await self.user.delete(f"/sessions/{self.erased}")
        await cancelled_turn(self.user)


async def cancelled_turn(user: User) -> None:
    session = await user.start_session()
    async with user.stream(session, f"[gate 3] {uuid4()}") as turn:
        started = await turn.started()
        await turn.until_text(3 * len(TOKEN))
        await user.post(f"/turns/{started['turn_id']}/cancel", {})
        *_, end = await turn.events()
    await user.messages(session, end["version"])


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def chats(stack: Stack) -> Chats:
    chats = Chats(stack, f"ada-{uuid4()}")
    await chats.happen()
    return chats


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def export(chats: Chats, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("analysis") / "export"
    exported = await chats.stack.run_command("log", "export", "--to", str(folder))
    # The other tests of this stack also wrote records that are no events.
    assert (folder / "manifest.json").exists(), exported
    return folder


async def answer(chats: Chats, query: str, *options: str) -> list[Any]:
    """That of the command."""
    output = await chats.stack.stdout_of("log", "sql", "--format", "json", *options, query)
    rows: list[Any] = json.loads(output)
    return rows


async def test_usage_is_what_the_api_reports(chats: Chats, export: Path) -> None:
    usage = await chats.user.get("/usage", group_by="assistant")
    rows = exported_rows(
        export,
        "SELECT assistant_id, sum(replies)::INT AS replies, sum(prompt_tokens)::INT AS prompt, "
        "sum(completion_tokens)::INT AS completion, sum(estimated_tokens)::INT AS estimated, "
        "((sum(cost) + 500000) // 1000000)::BIGINT AS micros "
        f"FROM usage WHERE owner = '{chats.name}' GROUP BY ALL ORDER BY assistant_id",
    )
    assert [tuple(row.values()) for row in rows] == [
        (
            group["assistant_id"],
            group["replies"],
            group["prompt_tokens"],
            group["completion_tokens"],
            group["estimated_tokens"],
            group["cost"][0]["micros"],
        )
        for group in usage["data"]
    ]
    assert usage["total"]["replies"] == 5


async def test_messages_and_sessions_are_those_of_history(chats: Chats, export: Path) -> None:
    listed = await chats.user.get("/sessions")
    rows = exported_rows(
        export,
        "SELECT id, assistant_id, version FROM sessions "
        f"WHERE owner = '{chats.name}' AND erased_at IS NULL ORDER BY updated_at DESC",
    )
    assert [tuple(row.values()) for row in rows] == [
        (each["id"], each["assistant_id"], each["version"]) for each in listed["data"]
    ]
    session = chats.sessions[0]
    messages = exported_rows(
        export,
        "SELECT id, role, status, version, turn_id, finish_reason, completion_tokens "
        f"FROM messages WHERE session_id = '{session}' ORDER BY version",
    )
    expected = await chats.user.messages(session, 1)
    assert [tuple(row.values()) for row in messages] == [
        (
            *(each[name] for name in ("id", "role", "status", "version", "turn_id")),
            each.get("finish_reason"),
            (each.get("usage") or {}).get("completion_tokens"),
        )
        for each in expected
    ]
    assert exported_rows(
        export, f"SELECT count(*) AS n FROM messages WHERE session_id = '{chats.erased}'"
    ) == [{"n": 0}]


async def test_as_of_a_time_shows_what_history_said_then(chats: Chats, export: Path) -> None:
    session = chats.sessions[0]
    then = await chats.user.history(session, as_of=chats.first_reply_at, order="asc")
    rows = await answer(
        chats,
        f"SELECT id FROM messages WHERE session_id = '{session}' ORDER BY version",
        "--export",
        str(export),
        "--as-of",
        chats.first_reply_at,
    )
    assert [row["id"] for row in rows] == [each["id"] for each in then["data"]]
    assert [row["id"] for row in rows] == [each["id"] for each in chats.before_second]
    manifest = json.loads((export / "manifest.json").read_text())
    positions = ",".join(
        f"{partition}:{offset}"
        for partition, offset in manifest["streams"]["sessions"]["positions"].items()
    )
    count = "SELECT count(*) AS n FROM events"
    everything = await answer(chats, count, "--export", str(export), "--as-of", positions)
    assert everything == exported_rows(export, count)


async def test_a_query_without_an_export_reads_the_log(chats: Chats) -> None:
    rows = await answer(chats, f"SELECT status FROM turns WHERE session_id = '{chats.sessions[1]}'")
    assert rows == [{"status": "completed"}]


async def test_the_copy_is_verified_against_the_log(chats: Chats, export: Path) -> None:
    verified = await chats.stack.run_command("log", "verify", "--export", str(export))
    assert verified.exit_code == 0, verified
    assert "The export and the log agree." in verified.stdout
    manifest = load_manifest(storage_at(str(export)))
    reply = export / next(file.path for file in manifest.files if "reply_completed" in file.type)
    whole = reply.read_bytes()
    reply.write_bytes(whole[:-1])
    verified = await chats.stack.run_command("log", "verify", "--export", str(export))
    reply.write_bytes(whole)
    assert verified.exit_code == 1, verified
    assert str(reply.relative_to(export)) in verified.stdout


async def test_opened_content_is_the_text_and_null_once_erased(
    chats: Chats, tmp_path: Path
) -> None:
    folder = tmp_path / "content"
    await chats.stack.run_command("log", "export", "--to", str(folder), "--content")
    rows = exported_rows(
        folder,
        "SELECT session_id, json_extract_string(content, '$.text') AS text FROM message_submitted "
        f"WHERE session_id IN ('{chats.sessions[1]}', '{chats.erased}')",
    )
    assert {row["session_id"]: row["text"] for row in rows} == {
        chats.sessions[1]: chats.words,
        chats.erased: None,
    }
