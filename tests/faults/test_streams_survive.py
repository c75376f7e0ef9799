"""Two hundred replies while connections are cut and every process is killed, at random."""

import asyncio
import random
import signal
from collections import Counter
from uuid import uuid4

import pytest
from faults import table
from stack.cutting_proxy import CuttingProxy
from stack.model_server import ModelServer, paced_text
from stack.parley import Stack
from stack.stubborn_reader import ReadTurn, StubbornReader

REPLICAS = "gateway=2,inference=2,session=2,history-serve=2"
PEOPLE, FEWEST_TURNS_EACH = 20, 10
TOKENS = 60  # Over a second of a reply.
KILLED = (
    "gateway",
    "inference",
    "session",
    "gateway-2",
    "inference-2",
    "session-2",
    "redis",
    "history-serve",
    "history-project",
    "kafka",
    "postgres",
)
STOPPED_EVERY = 7
CUT_AFTER = range(500, 20_000)  # Bytes of one connection; a reply has about 5,000.
SEED = 20_261_125


@pytest.mark.timeout(480)
async def test_every_turn_ends_and_every_resumed_text_is_exact(
    stack: Stack, model_server: ModelServer, capsys: pytest.CaptureFixture[str]
) -> None:
    chance = random.Random(SEED)
    killed: Counter[str] = Counter()
    async with (
        stack.running("--replicas", REPLICAS, **model_server.settings),
        CuttingProxy.serve(stack.address("gateway"), seed=SEED, after=CUT_AFTER) as first,
        CuttingProxy.serve(stack.address("gateway-2"), seed=SEED + 1, after=CUT_AFTER) as second,
    ):
        talkers = [
            Talker(stack, f"talker-{uuid4()}", (first.address, second.address), chance)
            for _ in range(PEOPLE)
        ]
        killing = asyncio.create_task(kill_each(stack, chance, killed))
        await asyncio.gather(killing, *(talker.talk(until=killing) for talker in talkers))
        await stack.until_ready()

        turns = [turn for talker in talkers for turn in talker.turns]
        assert len(turns) >= PEOPLE * FEWEST_TURNS_EACH
        for turn in turns:
            require_exact(turn)
        for talker in talkers:
            await talker.require_next_message_is_taken()
            await talker.require_history_and_usage_agree()
    ended = Counter(turn.end["type"] for turn in turns)
    figures = [
        *((name, number) for name, number in sorted(ended.items())),
        ("connections that broke under a reader", sum(turn.breaks for turn in turns)),
        ("cut by the proxies", first.cuts + second.cuts),
        *((f"killed: {name}", number) for name, number in sorted(killed.items())),
    ]
    with capsys.disabled():
        print(f"\n{table(figures)}")
    # It was a real trial: most replies came through whole, and some did not.
    assert ended["reply.completed"] >= len(turns) / 2
    assert ended["reply.failed"]
    assert ended["reply.cancelled"]


def require_exact(turn: ReadTurn) -> None:
    """What was read in pieces is the stored reply, which is a beginning of the model's."""
    assert turn.text == turn.end["message"]["content"]
    assert turn.text == paced_text(TOKENS)[: len(turn.text)]
    if turn.end["type"] == "reply.completed":
        assert turn.text == paced_text(TOKENS)
    elif turn.end["type"] == "reply.failed":
        assert turn.end["error"]["code"] in ("interrupted", "upstream_broken")


async def kill_each(stack: Stack, chance: random.Random, killed: Counter[str]) -> None:
    """One process after the other, each one twice."""
    for name in (*KILLED, *KILLED):
        await asyncio.sleep(chance.uniform(0.3, 1.5))
        before = stack.pid(name)
        stack.kill(name, signal.SIGKILL)
        killed[name] += 1
        await stack.until_replaced(name, before)


class Talker:
    """Somebody who says one thing after the other, reads each reply to its end, and stops some."""

    def __init__(
        self, stack: Stack, name: str, doors: tuple[str, ...], chance: random.Random
    ) -> None:
        self.turns: list[ReadTurn] = []
        self._doors = [stack.person(name, gateway=door) for door in doors]
        self._straight = stack.person(name, gateway=stack.address("gateway"))
        self._reader, self._chance = StubbornReader(self._doors, chance), chance
        self._session_id = ""

    async def talk(self, until: asyncio.Task[None]) -> None:
        """So many turns, and on until that is done."""
        self._session_id = await self._reader.start_session()
        while len(self.turns) < FEWEST_TURNS_EACH or not until.done():
            stopping = self._stop_soon if len(self.turns) % STOPPED_EVERY == 3 else None
            self.turns.append(await self._reader.turn(self._session_id, self._said(), stopping))

    async def require_next_message_is_taken(self) -> None:
        turn = await self._straight.ask_until_answered(self._session_id, "Still there?")
        assert turn["status"] == "completed"

    async def require_history_and_usage_agree(self) -> None:
        session = await self._straight.insist("GET", f"/sessions/{self._session_id}")
        messages = await self._straight.messages(self._session_id, session["version"])
        replies = [message for message in messages if message["role"] == "assistant"]
        assert replies[:-1] == [turn.end["message"] for turn in self.turns]
        counted = [reply["usage"] for reply in replies if "usage" in reply]
        usage = await self._straight.insist("GET", "/usage")
        assert usage["total"]["replies"] == len(counted)
        for tokens in ("prompt_tokens", "completion_tokens"):
            assert usage["total"][tokens] == sum(each[tokens] for each in counted)

    def _said(self) -> str:
        return f"[pace {TOKENS}] {uuid4()}"

    async def _stop_soon(self, turn_id: str) -> None:
        await asyncio.sleep(self._chance.uniform(0, 0.5))
        await self._straight.insist("POST", f"/turns/{turn_id}/cancel", json={})
