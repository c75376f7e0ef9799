"""A backup restored elsewhere gives the same history; what was erased stays erased."""

from pathlib import Path
from uuid import uuid4

import pytest
from stack.model_server import ModelServer
from stack.parley import Stack, a_stack
from stack.person import Person

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_restored_backup_and_a_rebuild_give_the_same_history(
    own_stack: Stack, model_server: ModelServer, engine_cache: Path, tmp_path: Path
) -> None:
    backup, keys = str(tmp_path / "backup"), str(tmp_path / "keys")
    ada = own_stack.person("ada")
    async with own_stack.running(**model_server.settings):
        session, erased = await a_life(ada)
        everything = await ada.history(session, branches="all", limit=100)
        exported = (await ada.call("GET", "/export")).json()["sessions"]
        await own_stack.output_of("backup", "--to", backup, "--keys", keys)
        await own_stack.output_of("verify-backup", "--from", backup, "--keys", keys)
        before = await own_stack.output_of("log", "verify")
    master_key = (own_stack.data / "secrets" / "master-key").read_text().strip()
    await own_stack.close()

    async with a_stack(engine_cache) as other:
        restored = await other.command(
            *("restore", "--from", backup, "--keys", keys),
            environment={"PARLEY_MASTER_KEY": master_key},
        )
        assert restored.code == 0, restored
        async with other.running(**model_server.settings, PARLEY_MASTER_KEY=master_key):
            await other.output_of("log", "restore")
            await other.output_of("rebuild", "history")
            after = await other.output_of("log", "verify")
            assert checksums(after) == checksums(before)
            ada = other.person("ada")
            assert await ada.history(session, branches="all", limit=100) == everything
            assert (await ada.call("GET", "/export")).json()["sessions"] == exported
            assert (await ada.refused("GET", f"/history/{erased}"))[0] == 404
            assert (await ada.ask(session, "Go on"))["status"] == "completed"


async def a_life(person: Person) -> tuple[str, str]:
    """A session with two branches and another name, and one that was erased."""
    session, erased = await person.start_session(title="Plans"), await person.start_session()
    await person.ask(session, f"First {uuid4()}")
    await person.post(f"/sessions/{session}/regenerate", {})
    await person.patch(f"/sessions/{session}", {"title": "Other plans"})
    await person.ask(erased, "Forget me")
    await person.delete(f"/sessions/{erased}")
    return session, erased


def checksums(verified: str) -> list[str]:
    found = [word for word in verified.split() if len(word.strip(".,;")) == 16]
    assert found
    return found
