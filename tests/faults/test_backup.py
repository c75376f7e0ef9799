"""A backup restored elsewhere gives the same history; erased sessions stay erased."""

from pathlib import Path
from uuid import uuid4

import pytest
from e2e_support.model_server import ModelServer
from e2e_support.stack import Stack, new_stack
from e2e_support.user import User


@pytest.mark.timeout(300)
async def test_a_restored_backup_and_a_rebuild_give_the_same_history(
    stack: Stack, model_server: ModelServer, engine_cache: Path, tmp_path: Path
) -> None:
    backup, keys = str(tmp_path / "backup"), str(tmp_path / "keys")
    async with stack.running(**model_server.settings):
        ada = stack.user("ada")
        session, erased = await create_sessions(ada)
        everything = await ada.history(session, branches="all", limit=100)
        exported = (await ada.request("GET", "/export")).json()["sessions"]
        await stack.stdout_of("backup", "--to", backup, "--keys", keys)
        await stack.stdout_of("verify-backup", "--from", backup, "--keys", keys)
        before = await stack.stdout_of("log", "verify")
    master_key = (stack.data / "secrets" / "master-key").read_text().strip()

    async with new_stack(engine_cache) as other:
        restored = await other.run_command(
            *("restore", "--from", backup, "--keys", keys),
            environment={"PARLEY_MASTER_KEY": master_key},
        )
        assert restored.exit_code == 0, restored
        up, *later = commands_in(restored.stdout)
        data = f"PARLEY_DATA={other.data} python -m parley_cli "
        assert up == f"PARLEY_MASTER_KEY=... {data}up"
        async with other.running(**model_server.settings, PARLEY_MASTER_KEY=master_key):
            for command in later:
                assert command.startswith(data)
                await other.stdout_of(*command.removeprefix(data).split())
            after = await other.stdout_of("log", "verify")
            assert checksums(after) == checksums(before)
            ada = other.user("ada")
            assert await ada.history(session, branches="all", limit=100) == everything
            assert (await ada.request("GET", "/export")).json()["sessions"] == exported
            assert (await ada.expect_error("GET", f"/history/{erased}"))[0] == 404
            assert (await ada.send(session, "Go on"))["status"] == "completed"


async def create_sessions(user: User) -> tuple[str, str]:
    """Create a renamed session with two branches, and an erased session."""
    session, erased = await user.start_session(title="Plans"), await user.start_session()
    await user.send(session, f"First {uuid4()}")
    await user.post(f"/sessions/{session}/regenerate", {})
    await user.patch(f"/sessions/{session}", {"title": "Other plans"})
    await user.send(erased, "Forget me")
    await user.delete(f"/sessions/{erased}")
    return session, erased


def commands_in(hint: str) -> list[str]:
    """The indented lines of the hint, each a command."""
    commands = [line.strip() for line in hint.splitlines() if line.startswith("  ")]
    assert len(commands) == 3, hint
    return commands


def checksums(verified: str) -> list[str]:
    found = [word for word in verified.split() if len(word.strip(".,;")) == 16]
    assert found
    return found
