"""Relays a turn's events from inference, and reconnects where the stream broke off."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing
from http import HTTPStatus

import aiohttp
import msgspec
from pydantic import Field

from parley_contracts import turn_sse as sse
from parley_contracts.api_models import Turn
from parley_contracts.inference_api import StreamTurnRequest
from parley_core.auth.caller import Caller
from parley_core.http.errors import ParleyError, ServiceError, decode_response
from parley_core.runtime.backoff import Backoff
from parley_core.runtime.settings import Seconds, SettingsGroup
from parley_core.streaming.sse import SSEEventTooLarge
from parley_gateway.auth.stream_tickets import StreamTickets
from parley_gateway.http.upstreams import Upstreams
from parley_gateway.turns.relay_metrics import RelayMetrics, TurnLatency
from parley_gateway.turns.sse_framing import MalformedEventStream, TurnEventFramer

log = logging.getLogger(__name__)

# After this long without a byte, ask session whether the turn has ended: within that time session
# ends the turn of a stuck runner, and a merely slow reply costs one lookup per heartbeat.
STALL_CHECK_AFTER_SECONDS = 12.0
STALL_CHECK_INTERVAL_SECONDS = 4.0
TURN_LOOKUP_TIMEOUT_SECONDS = 2.0
RECONNECT_INITIAL_SECONDS = 0.1
RECONNECT_MAX_SECONDS = 2.0
MAX_EVENT_BYTES = 4 * 1024 * 1024

Attachment = AbstractAsyncContextManager[aiohttp.StreamReader]


class StreamSettings(SettingsGroup):
    # Several attempts fit into the 10 s after which session ends an unclaimed turn.
    connect_timeout_seconds: Seconds = Field(
        default=2,
        description="the seconds after which another replica is asked to accept a turn",
    )
    # Inference sends a heartbeat every 15 s; after two missing ones the replica counts as dead.
    idle_timeout_seconds: Seconds = Field(
        default=35, description="the seconds that a stream of a service may be silent"
    )
    reconnect_deadline_seconds: Seconds = Field(
        default=30, description="the seconds for which a broken stream is reconnected"
    )


class TurnEventRelay:
    """The events after `last_event_id`. `handed_over` is set once inference has the turn."""

    def __init__(
        self,
        turn: Turn,
        caller: Caller,
        upstreams: Upstreams,
        settings: StreamSettings,
        *,
        stream_url: Callable[[], str],
        last_event_id: int = 0,
        metrics: RelayMetrics,
        latency: TurnLatency | None = None,
    ) -> None:
        """`latency` is that of the request which opened the turn."""
        self._metrics, self._latency = metrics, latency
        self.turn = turn
        self.handed_over = asyncio.Event()
        self.session_erased = False
        self._caller = caller
        self._inference, self._session = upstreams.inference, upstreams.session
        self._settings, self.stream_url = settings, stream_url
        self._last_event_id = last_event_id

    @property
    def handover_timeout_seconds(self) -> float:
        """How long inference may take to accept the turn, with all reconnects."""
        return self._settings.reconnect_deadline_seconds

    def started(self) -> bytes:
        """The event that precedes all others."""
        return sse.started(self.turn, self.stream_url())

    async def read(self) -> AsyncGenerator[bytes, None]:
        """Whole events, in batches as they arrive; comments too.

        Ends after the turn's end. Ends without one when its session is erased, or when inference
        is unavailable for too long or does not know the turn.
        """
        if self.turn.status != "running":
            yield self._replay(self.turn)
            return
        backoff = self._backoff()
        delay: float | None = 0
        is_refused = False
        while delay is not None and not is_refused:
            framer = TurnEventFramer(self._last_event_id, MAX_EVENT_BYTES)
            try:
                async with aclosing(self._read_from_inference()) as chunks:
                    async for received in chunks:
                        backoff.reset()
                        if events := framer.feed(received):
                            if framer.last_event_id and self._latency is not None:
                                self._latency.received_text()
                            self._last_event_id = framer.last_event_id
                            if framer.ended:
                                _check_end(events)
                            yield events
                        if framer.ended:
                            return
            except _STREAM_ERRORS as error:
                is_refused = _is_final(error)
                self._metrics.reattaches.inc(not is_refused)
            if (ended := await self.fetch_ended_turn()) is not None:
                yield self._replay(ended)
                return
            if self.session_erased:
                return
            if not is_refused:
                delay = backoff.next_delay()
                await asyncio.sleep(delay or 0)
        log.warning("turn %s: gave up on the stream from inference", self.turn.id)

    async def fetch_ended_turn(self) -> Turn | None:
        """The stored turn; None while it runs, or when session is unavailable."""
        try:
            response = await self._session.call(
                "GET",
                f"/turns/{self.turn.id}",
                principal=self._caller.principal,
                request_id=self._caller.request_id,
                timeout=TURN_LOOKUP_TIMEOUT_SECONDS,
            )
            turn = parse_turn(response.body)
        except ParleyError as error:
            self.session_erased = error.status == HTTPStatus.NOT_FOUND
            return None
        return turn if turn.reply is not None else None

    async def _is_turn_over(self) -> bool:
        return await self.fetch_ended_turn() is not None or self.session_erased

    def _read_from_inference(self) -> AsyncGenerator[bytes, None]:
        return read_until_turn_over(
            self._attach(),
            self._accepted,
            connect_timeout_seconds=self._settings.connect_timeout_seconds,
            is_turn_over=self._is_turn_over,
        )

    def _accepted(self) -> None:
        self.handed_over.set()
        if self._latency is not None:
            self._latency.accepted()

    def _attach(self) -> Attachment:
        body = StreamTurnRequest(self.turn.session_id, self._last_event_id)
        return self._inference.stream(
            "POST",
            f"/turns/{self.turn.id}/stream",
            principal=self._caller.principal,
            request_id=self._caller.request_id,
            body=msgspec.json.encode(body),
            idle_timeout=self._settings.idle_timeout_seconds,
        )

    def _replay(self, turn: Turn) -> bytes:
        self.handed_over.set()
        return b"".join(sse.replay(turn, self._last_event_id))

    def _backoff(self) -> Backoff:
        return Backoff(
            RECONNECT_INITIAL_SECONDS,
            RECONNECT_MAX_SECONDS,
            deadline_seconds=self._settings.reconnect_deadline_seconds,
        )


async def read_until_turn_over(
    attachment: Attachment,
    on_accepted: Callable[[], None],
    *,
    connect_timeout_seconds: float,
    is_turn_over: Callable[[], Awaitable[bool]],
) -> AsyncGenerator[bytes, None]:
    """Chunks from inference until it ends the stream or the turn is over.

    A stuck process sends nothing, not even an end: while inference is silent, `is_turn_over` asks
    session. Raises TimeoutError when inference does not accept the turn in time, and any error
    that breaks the stream.
    """
    async with AsyncExitStack() as stack:
        async with asyncio.timeout(connect_timeout_seconds):
            upstream = await stack.enter_async_context(attachment)
        on_accepted()
        while received := await _next_chunk(upstream, is_turn_over):
            yield received


async def _next_chunk(
    upstream: aiohttp.StreamReader, is_turn_over: Callable[[], Awaitable[bool]]
) -> bytes:
    check_after = STALL_CHECK_AFTER_SECONDS
    while True:
        try:
            async with asyncio.timeout(check_after) as timeout:
                return await upstream.readany()
        except TimeoutError:
            if not timeout.expired():
                raise  # The idle timeout of the stream itself: the replica counts as dead.
        if await is_turn_over():
            return b""
        check_after = STALL_CHECK_INTERVAL_SECONDS


class TurnEventRelays:
    """Creates the relay of a turn that the request opened, or resumes, maybe with a ticket."""

    def __init__(
        self,
        upstreams: Upstreams,
        tickets: StreamTickets,
        settings: StreamSettings,
        metrics: RelayMetrics,
    ) -> None:
        self._upstreams, self._tickets, self._settings = upstreams, tickets, settings
        self._metrics = metrics

    def opened(self, turn: Turn, caller: Caller) -> TurnEventRelay:
        return self._relay(turn, caller, latency=TurnLatency(self._metrics))

    def resumed(
        self, turn: Turn, caller: Caller, last_event_id: int, ticket: str | None
    ) -> TurnEventRelay:
        self._metrics.resumes.inc()
        return self._relay(turn, caller, last_event_id, ticket)

    def _relay(
        self,
        turn: Turn,
        caller: Caller,
        last_event_id: int = 0,
        ticket: str | None = None,
        latency: TurnLatency | None = None,
    ) -> TurnEventRelay:
        return TurnEventRelay(
            turn,
            caller,
            self._upstreams,
            self._settings,
            stream_url=lambda: self._tickets.stream_url(turn.id, caller.principal, ticket),
            last_event_id=last_event_id,
            metrics=self._metrics,
            latency=latency,
        )


def _check_end(events: bytes) -> None:
    """Raises MalformedEventStream unless the last event has the session's version."""
    try:
        last_data = events.rpartition(b"\nid: ")[0].rpartition(b"\n")[2]
        msgspec.json.decode(last_data.removeprefix(b"data: "), type=_Ended)
    except ValueError:
        raise MalformedEventStream from None


class _Ended(msgspec.Struct):
    version: int


def parse_turn(body: bytes) -> Turn:
    """The turn in a response of session. Raises Unavailable."""
    return decode_response(body, Turn.model_validate_json, service="session")


_STREAM_ERRORS = (
    ParleyError,
    aiohttp.ClientError,
    TimeoutError,
    OSError,
    SSEEventTooLarge,
    MalformedEventStream,
)


def _is_final(error: Exception) -> bool:
    # Inference refused the turn itself; another attempt would be refused as well.
    return isinstance(error, ServiceError) and error.status < 500
