"""Chat load: many users who chat at once, each of whom records what was acknowledged."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle
from typing import Any
from uuid import uuid4

from e2e_support.stack import Stack
from e2e_support.user import User
from parley_testing.eventually import eventually

STALLED_SECONDS = 60


@dataclass
class Conversation:
    """One session of one user, and its ended turns in order."""

    user: User
    session_id: str
    turns: list[dict[str, Any]] = field(default_factory=list)

    async def send(self, content: str) -> None:
        """Submit a message, with one idempotency key, until its turn has ended."""
        turn = await self.user.send_with_retries(self.session_id, content)
        assert turn["message"]["content"] == content
        self.turns.append(turn)

    @property
    def version(self) -> int:
        return int(self.turns[-1]["version"]) if self.turns else 1

    async def assert_complete_history(self) -> None:
        """History contains each turn once, in order, and nothing else."""
        messages = await self.user.messages(self.session_id, self.version)
        wanted = [message for turn in self.turns for message in (turn["message"], turn["reply"])]
        assert messages == wanted
        # The start of a session is version 1; each turn adds its message, its request and its end.
        numbers = range(len(self.turns))
        versions = [version for n in numbers for version in (3 * n + 2, 3 * n + 4)]
        assert [message["version"] for message in messages] == versions


class ChatLoad:
    def __init__(self, conversations: Sequence[Conversation]) -> None:
        self.conversations = conversations

    @property
    def turns(self) -> int:
        return sum(len(each.turns) for each in self.conversations)

    @property
    def retries(self) -> int:
        """The number of requests that had to be repeated."""
        return sum(each.user.retries for each in self.conversations)

    @property
    def events(self) -> int:
        """The number of acknowledged events: a session's version counts its events."""
        return sum(each.version for each in self.conversations)

    @property
    def interrupted(self) -> int:
        """The number of replies lost with the process that generated them."""
        return sum(
            turn["status"] != "completed" for each in self.conversations for turn in each.turns
        )

    async def wait_for_turns(self, count: int) -> None:
        """Wait until `count` further turns have ended. Fails when none ends for a minute.

        How long they take together depends on the load of the machine.
        """
        wanted = self.turns + count
        while (ended := self.turns) < wanted:
            await eventually(partial(self._has_ended_more_than, ended), STALLED_SECONDS)

    def _has_ended_more_than(self, turns: int) -> bool:
        return self.turns > turns

    async def send_each(self, times: int = 1) -> None:
        """Every user sends that many messages, one after the other."""
        await asyncio.gather(*(_send(each, times) for each in self.conversations))

    @asynccontextmanager
    async def running(self, pause_seconds: float = 0) -> AsyncIterator[None]:
        """Every user sends messages within the block; at its end the open turns are finished.

        A command that runs beside the load needs the pause: without it the load takes all CPUs.
        """
        stopping = asyncio.Event()

        async def chat(conversation: Conversation) -> None:
            while not stopping.is_set():
                await _send(conversation, 1)
                await asyncio.sleep(pause_seconds)

        async with asyncio.TaskGroup() as group:
            for conversation in self.conversations:
                group.create_task(chat(conversation))
            try:
                yield
            finally:
                stopping.set()

    async def assert_complete_history(self) -> None:
        for conversation in self.conversations:
            await conversation.assert_complete_history()

    def assert_all_completed(self) -> None:
        statuses = [turn["status"] for each in self.conversations for turn in each.turns]
        assert statuses
        assert set(statuses) == {"completed"}


async def start_chat_load(
    stack: Stack, users: int, gateways: Sequence[str | None] = (None,)
) -> ChatLoad:
    """Start a session for each user; the users are spread over the gateways."""
    assigned = zip(range(users), cycle(gateways), strict=False)
    callers = [stack.user(f"user-{uuid4()}", gateway=gateway) for _, gateway in assigned]
    sessions = await asyncio.gather(*(caller.start_session() for caller in callers))
    return ChatLoad([Conversation(*each) for each in zip(callers, sessions, strict=True)])


async def _send(conversation: Conversation, times: int) -> None:
    for _ in range(times):
        await conversation.send(f"thought {uuid4()}")
