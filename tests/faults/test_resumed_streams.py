"""200 streamed replies while connections are cut and every process is killed at random."""

import asyncio
import random
import signal
from collections import Counter
from uuid import uuid4

import pytest
from e2e_support.fault_injection import table
from e2e_support.flaky_proxy import FlakyProxy
from e2e_support.model_server import ModelServer, paced_text
from e2e_support.resuming_client import ReceivedTurn, ResumingClient
from e2e_support.stack import Stack

REPLICAS = "gateway=2,inference=2,session=2,history-serve=2"
USERS, MIN_TURNS_EACH = 20, 10
TOKENS = 60  # A reply of over one second.
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
CANCEL_EVERY = 7
CUT_AFTER = range(500, 20_000)  # Bytes per connection; a reply has about 5,000.
SEED = 20_261_125


@pytest.mark.timeout(480)
async def test_every_turn_ends_and_every_resumed_text_is_exact(
    stack: Stack, model_server: ModelServer, capsys: pytest.CaptureFixture[str]
) -> None:
    chance = random.Random(SEED)
    killed: Counter[str] = Counter()
    async with (
        stack.running("--replicas", REPLICAS, **model_server.settings),
        FlakyProxy.serve(stack.address("gateway"), seed=SEED, after=CUT_AFTER) as first,
        FlakyProxy.serve(stack.address("gateway-2"), seed=SEED + 1, after=CUT_AFTER) as second,
    ):
        users = [
            ChattingUser(stack, f"user-{uuid4()}", (first.address, second.address), chance)
            for _ in range(USERS)
        ]
        killing = asyncio.create_task(kill_each(stack, chance, killed))
        await asyncio.gather(killing, *(user.chat(until=killing) for user in users))
        await stack.wait_until_ready()

        turns = [turn for user in users for turn in user.turns]
        assert len(turns) >= USERS * MIN_TURNS_EACH
        for turn in turns:
            assert_exact(turn)
        for user in users:
            await user.assert_next_message_is_accepted()
            await user.assert_history_and_usage_agree()
    ended = Counter(turn.end["type"] for turn in turns)
    figures = [
        *((name, number) for name, number in sorted(ended.items())),
        ("connections that broke while reading", sum(turn.breaks for turn in turns)),
        ("connections cut by the proxies", first.cuts + second.cuts),
        *((f"killed: {name}", number) for name, number in sorted(killed.items())),
    ]
    with capsys.disabled():
        print(f"\n{table(figures)}")
    # The faults were effective but not excessive: most replies completed, some did not.
    assert ended["reply.completed"] >= len(turns) / 2
    assert ended["reply.failed"]
    assert ended["reply.cancelled"]


def assert_exact(turn: ReceivedTurn) -> None:
    """The concatenated deltas are the stored reply, which is a prefix of the model's text."""
    assert turn.text == turn.end["message"]["content"]
    assert turn.text == paced_text(TOKENS)[: len(turn.text)]
    if turn.end["type"] == "reply.completed":
        assert turn.text == paced_text(TOKENS)
    elif turn.end["type"] == "reply.failed":
        assert turn.end["error"]["code"] in ("interrupted", "upstream_broken")


async def kill_each(stack: Stack, chance: random.Random, killed: Counter[str]) -> None:
    """Kill the processes one after the other, each twice."""
    for name in (*KILLED, *KILLED):
        await asyncio.sleep(chance.uniform(0.3, 1.5))
        before = stack.pid(name)
        stack.kill(name, signal.SIGKILL)
        killed[name] += 1
        await stack.wait_until_restarted(name, before)


class ChattingUser:
    """A user who sends messages, reads each reply to its end, and cancels some of them."""

    def __init__(
        self, stack: Stack, name: str, clients: tuple[str, ...], chance: random.Random
    ) -> None:
        self.turns: list[ReceivedTurn] = []
        self._clients = [stack.user(name, gateway=client) for client in clients]
        self._direct = stack.user(name, gateway=stack.address("gateway"))
        self._reader, self._chance = ResumingClient(self._clients, chance), chance
        self._session_id = ""

    async def chat(self, until: asyncio.Task[None]) -> None:
        """Complete the minimum number of turns, and continue until `until` is done."""
        self._session_id = await self._reader.start_session()
        while len(self.turns) < MIN_TURNS_EACH or not until.done():
            meanwhile = self._cancel_soon if len(self.turns) % CANCEL_EVERY == 3 else None
            self.turns.append(await self._reader.turn(self._session_id, self._message(), meanwhile))

    async def assert_next_message_is_accepted(self) -> None:
        turn = await self._direct.send_with_retries(self._session_id, "Another message")
        assert turn["status"] == "completed"

    async def assert_history_and_usage_agree(self) -> None:
        session = await self._direct.request_with_retries("GET", f"/sessions/{self._session_id}")
        messages = await self._direct.messages(self._session_id, session["version"])
        replies = [message for message in messages if message["role"] == "assistant"]
        assert replies[:-1] == [turn.end["message"] for turn in self.turns]
        counted = [reply["usage"] for reply in replies if "usage" in reply]
        usage = await self._direct.request_with_retries("GET", "/usage")
        assert usage["total"]["replies"] == len(counted)
        for tokens in ("prompt_tokens", "completion_tokens"):
            assert usage["total"][tokens] == sum(each[tokens] for each in counted)

    def _message(self) -> str:
        return f"[pace {TOKENS}] {uuid4()}"

    async def _cancel_soon(self, turn_id: str) -> None:
        await asyncio.sleep(self._chance.uniform(0, 0.5))
        await self._direct.request_with_retries("POST", f"/turns/{turn_id}/cancel", json={})
