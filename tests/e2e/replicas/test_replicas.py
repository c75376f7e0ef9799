"""Two gateways and two inference processes: a stream can be resumed through any replica."""

import asyncio
import random
import re
import signal
import time
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from e2e_support.model_server import TOKEN, ModelServer, paced_text
from e2e_support.stack import Stack
from e2e_support.user import User
from redis.asyncio import Redis

from parley_testing.event_stream import text_of
from parley_testing.eventually import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

GATEWAYS = ("gateway", "gateway-2")
INFERENCES = ("inference", "inference-2")
MAX_SECONDS = 15


async def test_a_running_reply_is_resumed_from_any_offset_through_any_replica(
    clients: list[User],
) -> None:
    first, _ = clients
    session = await first.start_session()
    whole = paced_text(60)
    async with first.stream(session, f"[pace 60] {uuid4()}") as turn:
        started = await turn.started()
        chance = random.Random(60)

        async def read_from(offset: int, client: User) -> None:
            async with client.resume(started["turn_id"], str(offset)) as stream:
                *texts, end = await stream.events()
            assert text_of(texts) == whole[offset:]
            assert end["type"] == "reply.completed"

        # Of 30 connections, some reach the inference replica that does not run the turn.
        await asyncio.gather(
            *(
                read_from(chance.randrange(len(whole)), client)
                for client in clients
                for _ in range(15)
            )
        )
        *_, end = await turn.events()
    assert end["message"]["content"] == whole


async def test_a_reply_is_resumed_exactly_while_redis_is_flushed(
    clients: list[User], stack: Stack
) -> None:
    first, second = clients
    session, whole = await first.start_session(), paced_text(80)
    async with (
        Redis.from_url(stack.redis_url) as redis,
        first.stream(session, f"[pace 80] {uuid4()}") as turn,
    ):
        started = await turn.started()
        offset = 0
        for _ in range(8):
            await redis.flushall()
            async with second.resume(started["turn_id"], str(offset)) as stream:
                text = await stream.until_text(10)
            assert text == whole[offset : offset + len(text)]
            offset += len(text)
        async with second.resume(started["turn_id"], str(offset)) as stream:
            assert text_of(await stream.events()) == whole[offset:]
        assert (await turn.events())[-1]["message"]["content"] == whole


async def until_buffered(stack: Stack, turn_id: str, position: int) -> None:
    """Wait until the turn's buffer holds the text up to this position."""
    async with Redis.from_url(stack.redis_url) as redis:

        async def is_buffered() -> bool:
            newest: Any = await redis.xrevrange(f"parley:turn:{turn_id}", count=1)
            return bool(newest) and newest[0][0] == f"{position}-0".encode()

        await eventually(is_buffered)


async def test_a_reply_whose_process_is_killed_keeps_its_buffered_text(
    clients: list[User], stack: Stack, model_server: ModelServer
) -> None:
    first, second = clients
    session, text = await first.start_session(), f"[gate 3] {uuid4()}"
    async with first.stream(session, text) as turn:
        started = await turn.started()
        await turn.until_text(3 * len(TOKEN))
        async with second.resume(started["turn_id"], "0") as stream:
            await stream.until_text(3 * len(TOKEN))
            # Both gateways may read from the runner, which writes the buffer a moment later.
            await until_buffered(stack, started["turn_id"], 3 * len(TOKEN))
            stack.kill(await runner_of_a_turn(stack))
            async with asyncio.timeout(MAX_SECONDS):
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
    await stack.wait_until_ready()


async def test_a_reply_is_cancelled_through_another_gateway(
    clients: list[User],
) -> None:
    first, second = clients
    session = await first.start_session()
    async with first.stream(session, f"[gate 3] {uuid4()}") as turn:
        started = await turn.started()
        await turn.until_text(3 * len(TOKEN))
        async with second.resume(started["turn_id"], "0") as stream:
            await second.post(f"/turns/{started['turn_id']}/cancel", {})
            async with asyncio.timeout(15):
                *_, end = await turn.events()
                *_, same_end = await stream.events()
    assert end == same_end
    assert (end["type"], end["message"]["content"]) == ("reply.cancelled", 3 * TOKEN)
    assert end["usage"]["estimated"]


async def test_session_ends_the_cancelled_turn_of_a_process_that_is_paused(
    clients: list[User], stack: Stack
) -> None:
    first, second = clients
    session = await first.start_session()
    async with first.stream(session, f"[gate 3] {uuid4()}") as turn:
        started = await turn.started()
        await turn.until_text(3 * len(TOKEN))
        await until_buffered(stack, started["turn_id"], 3 * len(TOKEN))
        runner = await runner_of_a_turn(stack)
        async with stack.paused(runner):
            await second.post(f"/turns/{started['turn_id']}/cancel", {})
            background = {"content": "Go on", "background": True}
            path = f"/sessions/{session}/messages"
            accepted = await second.request("POST", path, json=background)
            stopped = await second.get(f"/turns/{started['turn_id']}")
        *_, end = await turn.events()
    assert stopped["status"] == "cancelled"
    assert stopped["reply"]["content"] == 3 * TOKEN
    assert accepted.status_code in (200, 202), accepted.text
    assert accepted.json()["message"]["parent_message_id"] == stopped["reply"]["id"]
    # The paused process learned how the turn had ended.
    assert (end["type"], end["message"]) == ("reply.cancelled", stopped["reply"])


@pytest.mark.parametrize("gateway", [0, 1])
async def test_streams_of_a_gateway_that_shuts_down_are_resumed_through_another(
    clients: list[User], stack: Stack, gateway: int
) -> None:
    leaving, staying = clients[gateway], clients[1 - gateway]
    session, whole = await staying.start_session(), paced_text(60)
    async with leaving.stream(session, f"[pace 60] {uuid4()}") as turn:
        started = await turn.started()
        seen = [await turn.until_text(20)]
        before = stack.pid(GATEWAYS[gateway])
        stack.kill(GATEWAYS[gateway], signal.SIGTERM)
        seen.append(text_of(await turn.events()))  # The stream ends between two events.
    offset = len("".join(seen))
    assert offset < len(whole)
    async with staying.resume(started["turn_id"], str(offset)) as stream:
        seen.append(text_of(await stream.events()))
    assert "".join(seen) == whole
    await stack.wait_until_restarted(GATEWAYS[gateway], before)


async def test_an_inference_process_that_shuts_down_finishes_its_replies(
    clients: list[User], stack: Stack
) -> None:
    first, _ = clients
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
    await stack.wait_until_restarted(runner, before)
    await stack.wait_until_ready()


async def runner_of_a_turn(stack: Stack) -> str:
    """The inference replica that runs the only open turn."""
    running: list[str] = []

    async def found() -> bool:
        running[:] = [name for name in INFERENCES if await running_turns(stack, name)]
        return len(running) == 1

    await eventually(found)
    return running[0]


async def running_turns(stack: Stack, inference: str) -> int:
    try:
        metrics = await stack.fetch(f"http://{stack.management(inference)}/metrics")
    except httpx2.TransportError:
        return 0
    found = re.search(r"^parley_inference_turns_in_flight (\S+)$", metrics.text, re.MULTILINE)
    assert found, metrics.text
    return int(float(found[1]))


async def test_an_api_key_that_is_revoked_at_one_gateway_is_refused_by_all(
    clients: list[User], stack: Stack
) -> None:
    created = await clients[0].post("/api-keys", {"name": "a program"})
    programs = [
        stack.user_with_token(created["key"], gateway=stack.address(each))
        for each in ("gateway", "gateway-2")
    ]
    for program in programs:
        await program.get("/models")
    await clients[1].delete(f"/api-keys/{created['id']}")

    async def are_refused() -> bool:
        answers = [await program.request("GET", "/models") for program in programs]
        return [answer.status_code for answer in answers] == [401, 401]

    await eventually(are_refused, within=5)


async def test_a_user_who_is_signed_out_at_one_gateway_is_refused_by_all_even_after_a_restart(
    stack: Stack, model_server: ModelServer
) -> None:
    user, tenant = f"ada-{uuid4()}", f"acme-{uuid4()}"
    issued_at = int(time.time()) - 60

    def at(gateway: str, name: str = user, **claims: Any) -> User:
        address = stack.address(gateway)
        return stack.user(name, tenant=tenant, iat=issued_at, gateway=address, **claims)

    ada = [at(each) for each in GATEWAYS]
    session, text = await ada[0].start_session(), f"[gate 3] {uuid4()}"
    async with ada[1].stream(session, text) as turn:
        started = await turn.started()
        await turn.until_text(3 * len(TOKEN))
        body = {"kind": "user", "target": user}
        made = await at("gateway", "boss", scope="admin").post("/admin/revocations", body)
        assert made["target"] == user
        async with asyncio.timeout(15):
            assert text_of(await turn.events()) == ""
    model_server.open_gate(text)
    refused = await ada[1].expect_error("GET", f"/turns/{started['turn_id']}/stream")
    assert (refused[0], refused[1]["code"]) == (401, "invalid_token")

    async def are_refused() -> bool:
        answers = [await each.request("GET", "/models") for each in ada]
        return [answer.status_code for answer in answers] == [401, 401]

    await eventually(are_refused, within=5)
    for gateway in GATEWAYS:
        ticket = await stack.fetch(f"http://{stack.address(gateway)}{started['stream_url']}")
        assert (ticket.status_code, ticket.json()["error"]["code"]) == (401, "invalid_ticket")
    before = stack.pid("gateway-2")
    stack.kill("gateway-2", signal.SIGTERM)
    await stack.wait_until_restarted("gateway-2", before)
    assert (await ada[1].request("GET", "/models")).status_code == 401
    again = stack.user(
        user, tenant=tenant, iat=int(time.time()), gateway=stack.address("gateway-2")
    )
    assert (await again.request("GET", "/models")).status_code == 200
