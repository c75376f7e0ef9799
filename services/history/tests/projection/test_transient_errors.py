"""Transient database errors park no session; permanent ones park only their own session."""

import pytest
from history_testing.read_model import MAX_DEFERRED, PARTITION, ReadModelTables, folded, project
from history_testing.stories import chat

from parley_history.projection.active_read_model import ActiveReadModel
from parley_history.storage.database_errors import DATABASE_ERRORS

TRANSIENT = {
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


async def fail_with(tables: ReadModelTables, code: str) -> None:
    """Make every insert of a message fail with the SQLSTATE."""
    await tables.connection.execute(
        f"""
        CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'what was said' USING ERRCODE = '{code}'; END $$;
        CREATE TRIGGER fail BEFORE INSERT ON messages FOR EACH ROW EXECUTE FUNCTION fail();
        """
    )


async def stop_failing(tables: ReadModelTables) -> None:
    await tables.connection.execute("DROP FUNCTION fail CASCADE")


@pytest.mark.parametrize("code", TRANSIENT, ids=TRANSIENT.values())
async def test_a_transient_error_parks_no_session(tables: ReadModelTables, code: str) -> None:
    story, read_model = chat(1), ActiveReadModel(tables.settings, MAX_DEFERRED)
    await fail_with(tables, code)
    with pytest.raises(DATABASE_ERRORS):
        await project(read_model, story.records)
    await read_model.close()
    assert await tables.dead_letters() == []
    assert await tables.positions() == {PARTITION: 0}
    await stop_failing(tables)
    assert await project(read_model, story.records) == []
    assert await tables.rows() == folded(story)
    await read_model.close()


@pytest.mark.parametrize("code", ["22003", "23514", "54000"])
async def test_a_permanent_error_parks_its_session(
    tables: ReadModelTables, read_model: ActiveReadModel, code: str
) -> None:
    story = chat(1)
    await fail_with(tables, code)
    [letter] = await project(read_model, story.records)
    assert letter.error.startswith("it cannot be stored: ")
    assert "what was said" not in letter.error
    assert len(await tables.dead_letters()) == story.version - 1


async def test_a_lock_timeout_parks_no_session(tables: ReadModelTables) -> None:
    settings = tables.settings.model_copy(update={"timeout_seconds": 0.3})
    story, impatient = chat(1), ActiveReadModel(settings, MAX_DEFERRED)
    async with tables.connection.transaction():
        await tables.connection.execute("LOCK TABLE messages")
        with pytest.raises(TimeoutError):
            await project(impatient, story.records)
        await impatient.close()
    assert await project(impatient, story.records) == []
    assert await tables.dead_letters() == []
    assert await tables.rows() == folded(story)
    await impatient.close()
