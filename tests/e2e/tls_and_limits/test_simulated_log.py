"""`parley log generate --stack`: the events, usage and history of simulated people."""

from pathlib import Path

import pytest
from e2e_support.simulated_people import DAYS, GENERATE_OPTIONS, SEED, SESSIONS
from e2e_support.stack import Stack
from exported_rows import exported_rows

from parley_cli.log.generation.command import generate
from parley_testing.eventually import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

EVENTS = "SELECT session_id, sequence, id, time, type FROM events ORDER BY id"
# A person who has a session with messages, and the tokens of all their sessions.
PERSON = """
WITH readable AS (
    SELECT tenant, owner, any_value(id) AS session_id FROM sessions
    WHERE erased_at IS NULL AND NOT deleted AND id IN (SELECT session_id FROM messages)
    GROUP BY ALL
)
SELECT tenant, owner, readable.session_id, sum(prompt_tokens + completion_tokens)::BIGINT AS tokens
FROM usage JOIN readable USING (tenant, owner) GROUP BY ALL ORDER BY tokens DESC LIMIT 1
"""


async def test_simulated_people_have_the_events_of_the_export_with_the_same_seed(
    stack: Stack, tmp_path: Path
) -> None:
    simulated, export = tmp_path / "simulated", tmp_path / "export"
    generate(str(simulated), SESSIONS, SEED, days=DAYS, content=False)
    [person] = exported_rows(simulated, PERSON)
    user = stack.user(person["owner"], tenant=person["tenant"])
    history = await user.get(f"/history/{person['session_id']}")
    assert "user" in {message["role"] for message in history["data"]}
    assert all(each["content"] for each in history["data"] if each["role"] == "user")

    async def everything_is_exported() -> bool:
        await stack.stdout_of("log", "export", "--to", str(export), "--continue")
        events = exported_rows(simulated, EVENTS)
        sessions = {each["session_id"] for each in events}
        exported = exported_rows(export, EVENTS)
        return [each for each in exported if each["session_id"] in sessions] == events

    async def everything_is_counted() -> bool:
        usage = await user.get("/usage", start="2026-01-01", end="2026-03-31")
        return bool(usage["total"]["total_tokens"] == person["tokens"])

    # First, as each export is a command.
    await eventually(everything_is_counted, within=60)
    await eventually(everything_is_exported, within=60)
    again = await stack.run_command("log", "generate", *GENERATE_OPTIONS, "--stack")
    assert again.exit_code == 1
    assert "empty store" in again.stderr
