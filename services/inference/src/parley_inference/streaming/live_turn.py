"""A turn shared by its subscribers: the reply so far, and its final state once it has ended."""

import asyncio
from collections.abc import Callable
from uuid import UUID

from parley_contracts import turn_sse as sse
from parley_contracts.api_models import Turn
from parley_core.auth.principal import Principal
from parley_core.streaming.turn_buffer import StreamHeader
from parley_events.values import Price
from parley_inference.streaming.reply_text import ReplyText


def ignore_change() -> None:
    """The `on_change` of a turn without a listener."""


class LiveTurn:
    """Any number of subscribers read one reply, each from its own position.

    `on_change` is called whenever there is something new to read; it must not block. `header` is
    set where this process runs the turn: the model that answers, for the turn's buffer.
    """

    def __init__(self, turn: Turn, owner: Principal, reply: ReplyText) -> None:
        self.turn = turn
        self.reply = reply
        self.header: StreamHeader | None = None
        self.ended: Turn | None = None if turn.status == "running" else turn
        self.discarded = False
        self.on_change: Callable[[], None] = ignore_change
        self.owner = (owner.tenant, owner.user)
        self._subscribers: set[TurnSubscriber] = set()
        self._end_published = asyncio.Event()

    @property
    def id(self) -> UUID:
        return self.turn.id

    @property
    def has_subscribers(self) -> bool:
        return bool(self._subscribers)

    def belongs_to(self, principal: Principal) -> bool:
        return self.owner == (principal.tenant, principal.user)

    def subscribe(self, after: int) -> "TurnSubscriber":
        """Subscribe to what follows the position `after`."""
        subscriber = TurnSubscriber(self, after)
        self._subscribers.add(subscriber)
        return subscriber

    def unsubscribe(self, subscriber: "TurnSubscriber") -> None:
        self._subscribers.discard(subscriber)

    def set_model(self, model: str, price: Price | None) -> None:
        """Set the model that answers, which may be a fallback."""
        if self.header is not None and self.header.model != model:
            self.header = self.header.model_copy(update={"model": model, "price": price})
            self.on_change()

    def append(self, text: str) -> None:
        if self.reply.append(text):
            self._notify()

    def close_reply(self) -> None:
        if self.reply.close():
            self._notify()

    def end(self, turn: Turn) -> None:
        self.turn = self.ended = turn
        self.reply = ReplyText(0)  # Subscribers read the stored reply from now on.
        self._notify()

    def discard(self) -> None:
        """Give up the turn without its end; subscribers reconnect through another process."""
        self.discarded = True
        self._end_published.set()
        self._notify()

    def publish_end(self) -> None:
        """Wake `wait_until_idle`: the turn has ended in the process that ran it."""
        self._end_published.set()

    async def wait_until_idle(self, seconds: float) -> None:
        """Wait for `seconds` without new text or without subscribers, or until the end."""
        while True:
            length = self.reply.length
            try:
                await asyncio.wait_for(self._end_published.wait(), seconds)
            except TimeoutError:
                if self.reply.length == length or not self.has_subscribers:
                    return
            else:
                self._end_published.clear()
                return

    def _notify(self) -> None:
        for subscriber in self._subscribers:
            subscriber.wake()
        self.on_change()


class TurnSubscriber:
    """One client's position in the stream of a turn."""

    def __init__(self, live: LiveTurn, after: int) -> None:
        self.finished = False
        self._live, self._position = live, after
        self._changed = asyncio.Event()

    def read(self) -> bytes:
        """Return all new events, encoded; sets `finished` with the last one."""
        live = self._live
        if live.ended is not None:
            self.finished = True
            # From the stored reply: it may differ from what was streamed here.
            return b"".join(sse.replay(live.ended, self._position))
        self.finished = live.discarded
        text = live.reply.since(self._position)
        if not text:
            return b""
        self._position = live.reply.length
        return sse.delta(text, self._position)

    def wake(self) -> None:
        self._changed.set()

    async def wait(self) -> None:
        """Wait until there may be something new to read."""
        await self._changed.wait()
        self._changed.clear()
