"""A turn as its readers see it: the reply so far, and in time how it ended."""

import asyncio
from collections.abc import Callable
from uuid import UUID

from parley_contracts import turn_sse as sse
from parley_contracts.api_models import Turn
from parley_core.auth.principal import Principal
from parley_core.streaming.turn_buffer import StreamHeader
from parley_events.values import Price
from parley_inference.streaming.reply_text import ReplyText


def _nobody() -> None:
    pass


class LiveTurn:
    """Readers come and go at any place; all of them read the one reply.

    `on_news` is called whenever there is something for them, and must not wait. `opening` says who
    answers, where this process runs the turn.
    """

    def __init__(self, turn: Turn, owner: Principal, reply: ReplyText) -> None:
        self.turn = turn
        self.reply = reply
        self.opening: StreamHeader | None = None
        self.ended: Turn | None = None if turn.status == "running" else turn
        self.abandoned = False
        self.on_news: Callable[[], None] = _nobody
        self._owner = (owner.tenant, owner.user)
        self._readers: set[Reader] = set()
        self._end_told = asyncio.Event()

    @property
    def id(self) -> UUID:
        return self.turn.id

    @property
    def has_readers(self) -> bool:
        return bool(self._readers)

    def belongs_to(self, principal: Principal) -> bool:
        return self._owner == (principal.tenant, principal.user)

    def attach(self, after: int) -> "Reader":
        """A reader of what comes after the place `after`."""
        reader = Reader(self, after)
        self._readers.add(reader)
        return reader

    def detach(self, reader: "Reader") -> None:
        self._readers.discard(reader)

    def answered_by(self, model: str, price: Price | None) -> None:
        """Perhaps another model than was asked first."""
        if self.opening is not None and self.opening.model != model:
            self.opening = self.opening.model_copy(update={"model": model, "price": price})
            self.on_news()

    def append(self, text: str) -> None:
        if self.reply.append(text):
            self._wake()

    def close_reply(self) -> None:
        if self.reply.close():
            self._wake()

    def end(self, turn: Turn) -> None:
        self.ended = turn
        self.reply = ReplyText(0)  # Nobody reads it any more.
        self._wake()

    def abandon(self) -> None:
        """This process will not learn the end; readers ask elsewhere."""
        self.abandoned = True
        self._end_told.set()
        self._wake()

    def publish_end(self) -> None:
        """It has ended elsewhere: whoever follows it asks how."""
        self._end_told.set()

    async def silence(self, seconds: float) -> None:
        """Until nothing new came for that long, or nobody reads it, or its end was told."""
        while True:
            length = self.reply.length
            try:
                await asyncio.wait_for(self._end_told.wait(), seconds)
            except TimeoutError:
                if self.reply.length == length or not self.has_readers:
                    return
            else:
                self._end_told.clear()
                return

    def _wake(self) -> None:
        for reader in self._readers:
            reader.wake()
        self.on_news()


class Reader:
    """One client's place in a turn."""

    def __init__(self, live: LiveTurn, after: int) -> None:
        self.over = False
        self._live, self._place = live, after
        self._news = asyncio.Event()

    def read(self) -> bytes:
        """All events that are new to this reader; sets `over` with the last."""
        live = self._live
        if live.ended is not None:
            self.over = True
            # The stored reply: a turn may have ended otherwise than was streamed here.
            return b"".join(sse.replay(live.ended, self._place))
        self.over = live.abandoned
        text = live.reply.since(self._place)
        if not text:
            return b""
        self._place = live.reply.length
        return sse.delta(text, self._place)

    def wake(self) -> None:
        self._news.set()

    async def news(self) -> None:
        await self._news.wait()
        self._news.clear()
