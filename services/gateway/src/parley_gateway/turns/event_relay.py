"""A turn's events as inference sends them, from as many attempts as it takes."""

import asyncio
import logging
import random
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from http import HTTPStatus

import aiohttp
import msgspec

from parley_contracts import turn_sse as sse
from parley_contracts.api_models import Turn
from parley_core.http.errors import ParleyError, Unavailable
from parley_core.http.service_client import ServiceError
from parley_gateway.auth.authenticator import Caller
from parley_gateway.http.backoff import ReconnectBackoff
from parley_gateway.parts import Parts
from parley_gateway.turns.event_cutter import TurnEventFramer
from parley_gateway.turns.heard import Attach, heard
from parley_gateway.turns.sse_framing import MalformedEventStream

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RelayLimits:
    """Seconds and bytes; see the settings of the same names."""

    attach: float
    quiet: float
    quiet_again: float
    silence: float
    reattach: float
    reattach_pause: float
    reattach_most_pause: float
    look: float
    event_bytes: int


class TurnEventRelay:
    """The events after the place `after`. `handed_over` is set once inference has the turn."""

    def __init__(
        self, turn: Turn, asker: Caller, parts: Parts, limits: RelayLimits, after: int = 0
    ) -> None:
        self.turn = turn
        self.handed_over = asyncio.Event()
        self._asker, self._writes, self._tickets = asker, parts.writes, parts.tickets
        self._inference, self._session = parts.peers.inference, parts.peers.session
        self._limits = limits
        self._place = after
        self.gone = False

    def started(self) -> bytes:
        """The event that is before all others."""
        return sse.started(self.turn, self._tickets.stream_url(self.turn.id, self._asker))

    async def read(self) -> AsyncGenerator[bytes, None]:
        """Whole events, many at a time where many came; comments too.

        Stops after the turn's end, or without one when its session is erased, or when inference
        stays away too long or knows nothing of the turn.
        """
        if self.turn.status != "running":
            yield self._stored(self.turn)
            return
        outage = self._outage()
        pause: float | None = 0
        while pause is not None:
            cutter = TurnEventFramer(self._place, self._limits.event_bytes)
            try:
                async with aclosing(self._heard()) as pieces:
                    async for received in pieces:
                        outage.is_over()
                        if events := cutter.feed(received):
                            self._place = cutter.place
                            if cutter.ended:
                                self._note(_version_in(events))
                            yield events
                        if cutter.ended:
                            return
            except _TROUBLE as trouble:
                if _is_final(trouble):
                    break
            if (ended := await self.fetch_ended_turn()) is not None:
                yield self._stored(ended)
                return
            if self.gone:
                return
            jitter = random.random()  # noqa: S311 - spreads retries, keeps no secret.
            pause = outage.next_pause(asyncio.get_running_loop().time(), jitter)
            await asyncio.sleep(pause or 0)
        log.warning("turn %s: inference does not go on with it", self.turn.id)

    async def fetch_ended_turn(self) -> Turn | None:
        """The turn as session has it; None while it runs, or when session cannot say."""
        try:
            answer = await self._session.call(
                "GET",
                f"/turns/{self.turn.id}",
                principal=self._asker.principal,
                request_id=self._asker.request_id,
                timeout=self._limits.look,
            )
            turn = turn_in(answer.body)
        except ParleyError as refused:
            self.gone = refused.status == HTTPStatus.NOT_FOUND
            return None
        return turn if turn.reply is not None else None

    async def _is_over(self) -> bool:
        return await self.fetch_ended_turn() is not None or self.gone

    def _heard(self) -> AsyncGenerator[bytes, None]:
        return heard(
            self._attach(),
            self.handed_over,
            within=self._limits.attach,
            quiet=self._limits.quiet,
            again=self._limits.quiet_again,
            is_over=self._is_over,
        )

    def _attach(self) -> Attach:
        body = {"session_id": self.turn.session_id, "after": self._place}
        return self._inference.stream(
            "POST",
            f"/turns/{self.turn.id}/stream",
            principal=self._asker.principal,
            request_id=self._asker.request_id,
            body=msgspec.json.encode(body),
            idle_timeout=self._limits.silence,
        )

    def _stored(self, turn: Turn) -> bytes:
        self.handed_over.set()
        self._note(turn.version)
        return b"".join(sse.replay(turn, self._place))

    def _note(self, version: int) -> None:
        """Before the client hears of the end: it may read at once what it has."""
        self._writes.note(self._asker.principal, self.turn.session_id, version)

    def _outage(self) -> ReconnectBackoff:
        return ReconnectBackoff(
            most=self._limits.reattach,
            first_pause=self._limits.reattach_pause,
            most_pause=self._limits.reattach_most_pause,
        )


def _version_in(events: bytes) -> int:
    """The session's version in the last event. Raises MalformedEventStream."""
    try:
        return msgspec.json.decode(events.rpartition(b"\ndata: ")[2], type=_Ended).version
    except ValueError:
        raise MalformedEventStream from None


class _Ended(msgspec.Struct):
    version: int


def turn_in(answer: bytes) -> Turn:
    """The turn in an answer of session. Raises Unavailable."""
    try:
        return Turn.model_validate_json(answer)
    except ValueError:
        raise Unavailable(
            "The session service answered something unusable; try again.",
            code="session_unavailable",
        ) from None


_TROUBLE = (ParleyError, aiohttp.ClientError, TimeoutError, OSError, MalformedEventStream)


def _is_final(trouble: Exception) -> bool:
    # Inference refused the turn itself; asked again, it would say the same.
    return isinstance(trouble, ServiceError) and trouble.status < 500
