"""Overload: more turns at once than can run. Each is refused before its commit, or it completes."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from e2e_support.fault_injection import table
from e2e_support.model_server import ModelServer
from e2e_support.stack import Stack
from e2e_support.user import User
from prometheus_client.parser import text_string_to_metric_families

from parley_testing.eventually import eventually

USERS = 40
TURNS = 400
CAPACITY = 200
KINDS = ("stream", "json", "background", "regenerate", "completion")
REFUSALS = {(503, "inference_busy"), (429, "too_many_turns")}
# A process that is killed is missed after 10 s, and its turns end within the next second.
MAX_WAIT_SECONDS = 60


@dataclass
class Attempt:
    """A turn that a client asks for in a session of its own."""

    user: User
    session_id: str
    version: int
    kind: str
    response: httpx2.Response | None = None

    async def send(self, content: str) -> None:
        self.response = await self._request(content)

    async def _request(self, content: str) -> httpx2.Response:
        session = f"/sessions/{self.session_id}"
        match self.kind:
            case "regenerate":
                return await self.user.request("POST", f"{session}/regenerate", json={})
            case "completion":
                body: dict[str, Any] = {
                    "model": "scripted",
                    "messages": [{"role": "user", "content": content}],
                    "metadata": {"session_id": self.session_id},
                }
                return await self.user.request("POST", "/chat/completions", json=body)
            case kind:
                body = {"content": content, kind: True} if kind != "json" else {"content": content}
                return await self.user.request("POST", f"{session}/messages", json=body)

    @property
    def refused(self) -> bool:
        """Whether it was answered with a code of a refusal, and when to try again."""
        if self.response is None or self.response.status_code < 400:
            return False
        refusal = (self.response.status_code, self.response.json()["error"]["code"])
        return refusal in REFUSALS and int(self.response.headers["retry-after"]) >= 1

    async def outcome(self) -> str:
        """`refused` if the session has no further event, else how the turn ended."""
        session = await self.user.get(f"/sessions/{self.session_id}")
        if session["version"] == self.version:
            return "refused"
        last = (await self.user.messages(self.session_id, session["version"]))[-1]
        turn = await self.user.get(f"/turns/{last['turn_id']}")
        return str(turn["error"]["code"] if turn["status"] == "failed" else turn["status"])


async def prepared(
    stack: Stack, question: str, gateways: Sequence[str | None], count: int
) -> list[Attempt]:
    """Attempts of all kinds, spread over the users and gateways."""
    users = [
        stack.user(f"user-{uuid4()}", gateway=gateway) for gateway in islice(cycle(gateways), USERS)
    ]
    few_at_once = asyncio.Semaphore(20)

    async def prepare(user: User, kind: str) -> Attempt:
        async with few_at_once:
            session_id = await user.start_session()
            # A reply to regenerate; `question` is then answered again.
            version = 1
            if kind == "regenerate":
                imported = {"messages": [{"role": "user", "content": question}]}
                version = (await user.post(f"/history/{session_id}", imported))["version"]
            return Attempt(user, session_id, version, kind)

    each = zip(cycle(users), islice(cycle(KINDS), count), strict=False)
    return await asyncio.gather(*(prepare(user, kind) for user, kind in each))


async def running(stack: Stack, name: str) -> tuple[int, int]:
    """The turns of an inference process, and how many of them wait."""
    async with httpx2.AsyncClient() as http:
        text = (await http.get(f"http://{stack.management(name)}/metrics")).text
    values = {
        sample.name: int(sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.labels
    }
    return values["parley_inference_turns_in_flight"], values["parley_inference_turns_waiting"]


async def outcomes_of(attempts: Sequence[Attempt]) -> Counter[str]:
    """How the turns ended; a refusal was answered as one, and left no event."""
    outcomes = await asyncio.gather(*(each.outcome() for each in attempts))
    for attempt, outcome in zip(attempts, outcomes, strict=True):
        assert attempt.response is not None
        assert attempt.refused == (outcome == "refused"), (attempt, attempt.response.text)
    return Counter(outcomes)


@pytest.mark.timeout(180)
async def test_turns_beyond_the_capacity_are_refused_and_all_others_complete(
    stack: Stack, model_server: ModelServer, capsys: pytest.CaptureFixture[str]
) -> None:
    question = "[gate 1] overload"
    settings = {"PARLEY_INFERENCE_MAX_TURNS": str(CAPACITY)}
    async with stack.running(**model_server.settings, **settings):
        attempts = await prepared(stack, question, [None], TURNS)
        async with asyncio.timeout(MAX_WAIT_SECONDS), asyncio.TaskGroup() as group:
            for attempt in attempts:
                group.create_task(attempt.send(question))

            async def all_decided() -> bool:
                turns = (await running(stack, "inference"))[0]
                return turns + sum(each.refused for each in attempts) == TURNS

            await eventually(all_decided, within=MAX_WAIT_SECONDS)
            assert await running(stack, "inference") == (CAPACITY, 0)
            model_server.open_gate(question)
        await eventually(lambda: _is_idle(stack, "inference"), within=MAX_WAIT_SECONDS)
        outcomes = await outcomes_of(attempts)
        assert outcomes == {"completed": CAPACITY, "refused": TURNS - CAPACITY}
        _print(capsys, [("turns at once, one inference process", TURNS), *outcomes.items()])


@pytest.mark.timeout(240)
async def test_only_the_turns_of_a_killed_process_are_interrupted(
    stack: Stack, model_server: ModelServer, capsys: pytest.CaptureFixture[str]
) -> None:
    question, killed = "[gate 1] overload", "inference-2"
    settings = {"PARLEY_INFERENCE_MAX_TURNS": str(CAPACITY // 2)}
    replicas = "gateway=2,inference=2"
    async with stack.running("--replicas", replicas, **model_server.settings, **settings):
        gateways = [stack.address("gateway"), stack.address("gateway-2")]
        first = await prepared(stack, question, gateways, TURNS)
        second = await prepared(stack, question, gateways, TURNS // 4)
        async with asyncio.timeout(MAX_WAIT_SECONDS), asyncio.TaskGroup() as group:
            for attempt in first:
                group.create_task(attempt.send(question))

            async def all_decided() -> bool:
                turns = [(await running(stack, each))[0] for each in ("inference", killed)]
                return sum(turns) + sum(each.refused for each in first) == TURNS

            await eventually(all_decided, within=MAX_WAIT_SECONDS)
            pid, lost = stack.pid(killed), (await running(stack, killed))[0]
            stack.kill(killed)
            await stack.wait_until_restarted(killed, pid)
            # The capacity of the killed process still counts: some of these turns must wait.
            for attempt in second:
                group.create_task(attempt.send(question))

            async def some_wait() -> bool:
                return (await running(stack, "inference"))[1] > 0

            await eventually(some_wait, within=MAX_WAIT_SECONDS)
            model_server.open_gate(question)
        for name in ("inference", killed):
            await eventually(partial(_is_idle, stack, name), within=MAX_WAIT_SECONDS)
        outcomes, later = await outcomes_of(first), await outcomes_of(second)
        assert outcomes["interrupted"] == lost
        assert outcomes["completed"] == CAPACITY - lost
        assert outcomes["refused"] == TURNS - CAPACITY
        assert set(later) <= {"completed", "refused"}
        assert later["completed"] > 0
        rows = [
            ("turns at once, two inference processes", TURNS),
            *outcomes.items(),
            ("turns of the killed process", lost),
            *((f"{outcome}, after the kill", count) for outcome, count in later.items()),
        ]
        _print(capsys, rows)


async def _is_idle(stack: Stack, name: str) -> bool:
    return await running(stack, name) == (0, 0)


def _print(capsys: pytest.CaptureFixture[str], rows: Sequence[tuple[str, object]]) -> None:
    with capsys.disabled():
        print(f"\n{table(rows)}")
