"""Many people who chat at once, each of whom remembers exactly what was acknowledged."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any
from uuid import uuid4

from parley_testing.eventually import eventually
from stack.parley import Stack
from stack.person import Person


@dataclass
class Conversation:
    """One session, and the turns that its person saw end, in order."""

    person: Person
    session_id: str
    turns: list[dict[str, Any]] = field(default_factory=list)

    async def go_on(self, content: str) -> None:
        """Say one thing, with the same key until it is answered."""
        turn = await self.person.ask_until_answered(self.session_id, content)
        assert turn["message"]["content"] == content
        self.turns.append(turn)

    @property
    def version(self) -> int:
        return int(self.turns[-1]["version"]) if self.turns else 1

    async def require_whole_history(self) -> None:
        """History has each turn once, in order, and nothing else."""
        messages = await self.person.messages(self.session_id, self.version)
        wanted = [message for turn in self.turns for message in (turn["message"], turn["reply"])]
        assert messages == wanted
        # A session is started, then each turn is a message, its request and its end.
        numbers = range(len(self.turns))
        versions = [version for n in numbers for version in (3 * n + 2, 3 * n + 4)]
        assert [message["version"] for message in messages] == versions


class Crowd:
    def __init__(self, conversations: Sequence[Conversation]) -> None:
        self.conversations = conversations

    @property
    def turns(self) -> int:
        return sum(len(each.turns) for each in self.conversations)

    @property
    def retries(self) -> int:
        """How often somebody had to ask again."""
        return sum(each.person.retries for each in self.conversations)

    @property
    def events(self) -> int:
        """How many events were acknowledged: a session's version counts its events."""
        return sum(each.version for each in self.conversations)

    @property
    def interrupted(self) -> int:
        """How many replies were lost with the process that made them."""
        return sum(
            turn["status"] != "completed" for each in self.conversations for turn in each.turns
        )

    async def until_more(self, turns: int, within: float = 60) -> None:
        """Until so many further turns have ended."""
        wanted = self.turns + turns
        await eventually(lambda: self.turns >= wanted, within)

    async def say(self, times: int = 1) -> None:
        """Everybody says so many things."""
        await asyncio.gather(*(_say(each, times) for each in self.conversations))

    @asynccontextmanager
    async def talking(self) -> AsyncIterator[None]:
        """Everybody talks without a pause; at the end they finish what they began."""
        enough = asyncio.Event()

        async def talk(conversation: Conversation) -> None:
            while not enough.is_set():
                await _say(conversation, 1)

        async with asyncio.TaskGroup() as group:
            for conversation in self.conversations:
                group.create_task(talk(conversation))
            try:
                yield
            finally:
                enough.set()

    async def require_whole_history(self) -> None:
        for conversation in self.conversations:
            await conversation.require_whole_history()

    def require_all_completed(self) -> None:
        ended = [turn["status"] for each in self.conversations for turn in each.turns]
        assert ended
        assert set(ended) == {"completed"}


async def a_crowd(stack: Stack, size: int, gateways: Sequence[str | None] = (None,)) -> Crowd:
    """People who call the gateways in turn; without any, the first one."""
    callers = zip(range(size), cycle(gateways), strict=False)
    people = [stack.person(f"person-{uuid4()}", gateway=gateway) for _, gateway in callers]
    sessions = await asyncio.gather(*(person.start_session() for person in people))
    return Crowd([Conversation(*each) for each in zip(people, sessions, strict=True)])


async def _say(conversation: Conversation, times: int) -> None:
    for _ in range(times):
        await conversation.go_on(f"thought {uuid4()}")
