"""A turn as its readers see it: the reply so far, and in time how it ended."""

import asyncio
from uuid import UUID

from parley_core import sse
from parley_core.principal import Principal
from parley_core.shapes import Turn
from parley_inference.reply import Reply


class LiveTurn:
    """Readers come and go at any place; all of them read the one buffer."""

    def __init__(self, turn: Turn, owner: Principal, reply: Reply) -> None:
        self.turn = turn
        self.reply = reply
        self.ended: Turn | None = None if turn.status == "running" else turn
        self.abandoned = False
        self._owner = (owner.tenant, owner.user)
        self._readers: set[Reader] = set()

    @property
    def id(self) -> UUID:
        return self.turn.id

    @property
    def has_readers(self) -> bool:
        return bool(self._readers)

    def belongs_to(self, principal: Principal) -> bool:
        return self._owner == (principal.tenant, principal.user)

    def attach(self, after: int | None) -> "Reader":
        """A reader from the place after `after`; None is from `turn.started` on."""
        reader = Reader(self, after)
        self._readers.add(reader)
        return reader

    def detach(self, reader: "Reader") -> None:
        self._readers.discard(reader)

    def append(self, text: str) -> None:
        if self.reply.append(text):
            self._wake()

    def close_reply(self) -> None:
        if self.reply.close():
            self._wake()

    def end(self, turn: Turn) -> None:
        self.ended = turn
        self.reply = Reply(0)  # Nobody reads the buffer any more.
        self._wake()

    def abandon(self) -> None:
        """This process will not learn the end; readers ask elsewhere."""
        self.abandoned = True
        self._wake()

    def _wake(self) -> None:
        for reader in self._readers:
            reader.wake()


class Reader:
    """One client's place in a turn."""

    def __init__(self, live: LiveTurn, after: int | None) -> None:
        self.over = False
        self._live = live
        self._started = after is not None
        self._place = after or 0
        self._news = asyncio.Event()

    def read(self) -> bytes:
        """All events that are new to this reader; sets `over` with the last."""
        live = self._live
        if live.ended is not None:
            self.over = True
            # The stored reply, not the buffer: a turn may have ended otherwise than here.
            return b"".join(sse.replay(live.ended, self._place if self._started else None))
        events = b"" if self._started else self._start(live.turn)
        if text := live.reply.since(self._place):
            self._place = live.reply.length
            events += sse.delta(text, self._place)
        self.over = live.abandoned
        return events

    def wake(self) -> None:
        self._news.set()

    async def news(self) -> None:
        await self._news.wait()
        self._news.clear()

    def _start(self, turn: Turn) -> bytes:
        self._started = True
        return sse.started(turn)
