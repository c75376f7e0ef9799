import asyncio
from uuid import uuid4

from parley_history.movements import Movements


def movements() -> Movements:
    return Movements("never connected to", seconds=1, poll_seconds=60, pause_seconds=1)


async def test_one_notification_wakes_all_who_wait_for_that_session_once():
    listening, session_id, other_id = movements(), uuid4(), uuid4()
    with (
        listening.of(session_id) as first,
        listening.of(session_id) as second,
        listening.of(other_id) as other,
    ):
        waiting = [asyncio.create_task(one.next()) for one in (first, second, other)]
        await asyncio.sleep(0)
        listening._on_notification(None, 0, "", f"{uuid4().hex},{session_id.hex}")
        await asyncio.gather(*waiting[:2])
        assert not waiting[2].done()
        again = asyncio.create_task(first.next())
        done, _ = await asyncio.wait([again], timeout=0.01)
        assert not done, "it was not told again"
        for task in (again, waiting[2]):
            task.cancel()
        assert listening.waiting == 3
    assert listening.waiting == 0


async def test_what_moves_between_the_look_and_the_wait_still_wakes():
    listening, session_id = movements(), uuid4()
    with listening.of(session_id) as movement:
        listening._on_notification(None, 0, "", session_id.hex)
        async with asyncio.timeout(5):
            await movement.next()
