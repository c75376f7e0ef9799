"""What passes is tried again and parks nobody; what never passes parks its session alone."""

import pytest
from history_peers.read_model import LIMITS, PARTITION, folded, project
from history_peers.stories import chat

from parley_history.projection.active_read_model import ReadModel
from parley_history.storage.database_errors import DATABASE_TROUBLE

PASSING = {
    "08006": "the connection fails",
    "25P03": "a transaction was idle for too long",
    "40001": "it cannot be serialized",
    "40P01": "it is in a deadlock",
    "53100": "the disk is full",
    "53200": "there is no memory",
    "53300": "there are too many connections",
    "55P03": "the lock is not available",
    "57014": "it is cancelled",
    "57P01": "the server is shut down",
    "58030": "the disk fails",
    "XX000": "the server has a fault",
    "XX001": "data are corrupted",
}


async def fail_with(tables, code):
    """Let every message fail as it is written, with an error of that code."""
    await tables.connection.execute(
        f"""
        CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'what was said' USING ERRCODE = '{code}'; END $$;
        CREATE TRIGGER fail BEFORE INSERT ON messages FOR EACH ROW EXECUTE FUNCTION fail();
        """
    )


async def heal(tables):
    await tables.connection.execute("DROP FUNCTION fail CASCADE")


@pytest.mark.parametrize("code", PASSING, ids=PASSING.values())
async def test_a_fault_that_passes_parks_nobody(tables, code):
    story, read_model = chat(1), ReadModel(tables.dsn, LIMITS)
    await fail_with(tables, code)
    with pytest.raises(DATABASE_TROUBLE):
        await project(read_model, story.records)
    await read_model.close()
    assert await tables.dead_letters() == []
    assert await tables.positions() == {PARTITION: 0}
    await heal(tables)
    assert await project(read_model, story.records) == []
    assert await tables.rows() == folded(story)
    await read_model.close()


@pytest.mark.parametrize("code", ["22003", "23514", "54000"])
async def test_what_postgres_refuses_for_good_parks_its_session(tables, read_model, code):
    story = chat(1)
    await fail_with(tables, code)
    [letter] = await project(read_model, story.records)
    assert letter.error.startswith("it cannot be stored: ")
    assert "what was said" not in letter.error
    assert len(await tables.dead_letters()) == story.version - 1


async def test_a_lock_that_another_holds_for_too_long_parks_nobody(tables):
    story, impatient = chat(1), ReadModel(tables.dsn, LIMITS.__class__(0.3, LIMITS.held_events))
    async with tables.connection.transaction():
        await tables.connection.execute("LOCK TABLE messages")
        with pytest.raises(TimeoutError):
            await project(impatient, story.records)
        await impatient.close()
    assert await project(impatient, story.records) == []
    assert await tables.dead_letters() == []
    assert await tables.rows() == folded(story)
    await impatient.close()
