"""Two gateways and two inference processes: a stream goes on wherever it is asked for."""

import asyncio
import random
import re
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import httpx2
import pytest
import pytest_asyncio
from redis.asyncio import Redis
from stack.model_server import TOKEN, ModelServer, paced_text
from stack.parley import Stack, a_stack
from stack.person import Person

from parley_testing.event_stream import text_of
from parley_testing.eventually import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

REPLICAS = "gateway=2,inference=2"
GATEWAYS = ("gateway", "gateway-2")
INFERENCES = ("inference", "inference-2")
PROMISED_SECONDS = 15


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def model_server() -> AsyncIterator[ModelServer]:
    async with ModelServer.serve() as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(model_server: ModelServer, engine_cache: Path) -> AsyncIterator[Stack]:
    async with (
        a_stack(engine_cache) as stack,
        stack.running("--replicas", REPLICAS, **model_server.settings),
    ):
        yield stack


@pytest.fixture
def doors(stack: Stack) -> list[Person]:
    """One person, at each of the gateways."""
    name = f"ada-{uuid4()}"
    return [stack.person(name, gateway=stack.address(gateway)) for gateway in GATEWAYS]


async def test_a_running_reply_is_read_from_any_place_through_any_replica(
    doors: list[Person],
) -> None:
    first, _ = doors
    session = await first.start_session()
    whole = paced_text(60)
    async with first.stream(session, f"[pace 60] {uuid4()}") as turn:
        started = await turn.started()
        chance = random.Random(60)

        async def read_from(place: int, door: Person) -> None:
            async with door.resume(started["turn_id"], str(place)) as stream:
                *texts, end = await stream.events()
            assert text_of(texts) == whole[place:]
            assert end["type"] == "reply.completed"

        # Of thirty connections some come to the replica that only follows.
        await asyncio.gather(
            *(read_from(chance.randrange(len(whole)), door) for door in doors for _ in range(15))
        )
        *_, end = await turn.events()
    assert end["message"]["content"] == whole


async def test_a_reply_is_read_exactly_though_its_buffer_is_emptied_again_and_again(
    doors: list[Person], stack: Stack
) -> None:
    first, second = doors
    session, whole = await first.start_session(), paced_text(80)
    async with (
        Redis.from_url(f"redis://{stack.address('redis')}/0") as redis,
        first.stream(session, f"[pace 80] {uuid4()}") as turn,
    ):
        started = await turn.started()
        place = 0
        for _ in range(8):
            await redis.flushall()
            async with second.resume(started["turn_id"], str(place)) as stream:
                text = await stream.until_text(10)
            assert text == whole[place : place + len(text)]
            place += len(text)
        async with second.resume(started["turn_id"], str(place)) as stream:
            assert text_of(await stream.events()) == whole[place:]
        assert (await turn.events())[-1]["message"]["content"] == whole


async def test_a_reply_whose_process_is_killed_keeps_what_was_read_of_it(
    doors: list[Person], stack: Stack, model_server: ModelServer
) -> None:
    first, second = doors
    session, text = await first.start_session(), f"[gate 3] {uuid4()}"
    async with first.stream(session, text) as turn:
        started = await turn.started()
        await turn.until_text(3 * len(TOKEN))
        # Another replica has it from the buffer, so it is there.
        async with second.resume(started["turn_id"], "0") as stream:
            await stream.until_text(3 * len(TOKEN))
            stack.kill(await runner_of_a_turn(stack))
            async with asyncio.timeout(PROMISED_SECONDS):
                *_, end = await turn.events()
                *_, same_end = await stream.events()
    assert end == same_end
    assert (end["type"], end["error"]["code"]) == ("reply.failed", "interrupted")
    assert end["message"]["content"] == 3 * TOKEN
    assert end["usage"]["estimated"]
    model_server.open_gate(text)
    again = await first.post(f"/sessions/{session}/regenerate", {})
    assert again["reply"]["parent_message_id"] == started["message_id"]
    assert again["reply"]["content"] == 6 * TOKEN
    await stack.until_ready()


async def test_a_reply_is_stopped_from_another_gateway_within_a_second(
    doors: list[Person],
) -> None:
    first, second = doors
    session = await first.start_session()
    async with first.stream(session, f"[gate 3] {uuid4()}") as turn:
        started = await turn.started()
        await turn.until_text(3 * len(TOKEN))
        async with second.resume(started["turn_id"], "0") as stream:
            await second.post(f"/turns/{started['turn_id']}/cancel", {})
            async with asyncio.timeout(1):
                *_, end = await turn.events()
                *_, same_end = await stream.events()
    assert end == same_end
    assert (end["type"], end["message"]["content"]) == ("reply.cancelled", 3 * TOKEN)
    assert end["usage"]["estimated"]


@pytest.mark.parametrize("gateway", [0, 1])
async def test_a_gateway_that_is_told_to_stop_hands_its_streams_over(
    doors: list[Person], stack: Stack, gateway: int
) -> None:
    leaving, staying = doors[gateway], doors[1 - gateway]
    session, whole = await staying.start_session(), paced_text(60)
    async with leaving.stream(session, f"[pace 60] {uuid4()}") as turn:
        started = await turn.started()
        seen = [await turn.until_text(20)]
        before = stack.pid(GATEWAYS[gateway])
        stack.kill(GATEWAYS[gateway], signal.SIGTERM)
        seen.append(text_of(await turn.events()))  # It ends between two events.
    place = len("".join(seen))
    assert place < len(whole)
    async with staying.resume(started["turn_id"], str(place)) as stream:
        seen.append(text_of(await stream.events()))
    assert "".join(seen) == whole
    await stack.until_replaced(GATEWAYS[gateway], before)


async def test_an_inference_that_is_told_to_stop_finishes_its_replies(
    doors: list[Person], stack: Stack
) -> None:
    first, _ = doors
    session, whole = await first.start_session(), paced_text(60)
    async with first.stream(session, f"[pace 60] {uuid4()}") as turn:
        await turn.started()
        text = await turn.until_text(20)
        runner = await runner_of_a_turn(stack)
        before = stack.pid(runner)
        stack.kill(runner, signal.SIGTERM)
        *rest, end = await turn.events()
    assert text + text_of(rest) == whole
    assert end["type"] == "reply.completed"
    await stack.until_replaced(runner, before)
    await stack.until_ready()


async def runner_of_a_turn(stack: Stack) -> str:
    """The replica that runs the one turn that is open."""
    running: list[str] = []

    async def known() -> bool:
        running[:] = [name for name in INFERENCES if await running_turns(stack, name)]
        return len(running) == 1

    await eventually(known)
    return running[0]


async def running_turns(stack: Stack, inference: str) -> int:
    try:
        told = await stack.fetch(f"http://{stack.address(inference)}/metrics")
    except httpx2.TransportError:
        return 0
    found = re.search(r"^parley_inference_turns_in_flight (\S+)$", told.text, re.MULTILINE)
    assert found, told.text
    return int(float(found[1]))
