"""What inference asks of session, as docs/internal-api.md has it."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID, uuid4

import msgspec

from parley_contracts.api_models import Turn
from parley_core.auth.principal import Principal
from parley_core.crypto.sealing import DataKey
from parley_core.http.errors import ParleyError, Unavailable
from parley_core.http.service_client import ServiceClient
from parley_inference.background.one_shot import OneShotResult
from parley_inference.background.summary import CompactionRequest
from parley_inference.models.failures import SENTENCES
from parley_inference.models.outcome import Completed, Ending, Failed
from parley_inference.session.context_window_cache import CachedWindowRef, PromptContext
from parley_inference.session.usage_record import UsageRecord

Answer = TypeVar("Answer")


class TurnInput(msgspec.Struct, frozen=True):
    """What a claimed turn is made from, and what is wanted once it is."""

    model: str
    instructions: str
    context: PromptContext
    suggest_title: bool = False
    compact: CompactionRequest | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """`run` is None when the turn is another's, or has ended; `key` seals what it streams."""

    turn: Turn
    run: TurnInput | None
    key: DataKey | None


class TurnToStop(msgspec.Struct, frozen=True):
    """A turn to stop: `cancelled`, or otherwise not this runner's any more."""

    turn_id: UUID
    reason: str


class Heartbeat(msgspec.Struct, frozen=True):
    """What session answers to a heartbeat; `erased` are sessions that were erased lately."""

    stop: list[TurnToStop]
    erased: list[UUID]


class SessionClient:
    """Calls in the name of one runner; each raises a ParleyError when session does not do it.

    `budgets` are the tokens that a prompt may have, by model. A call has `seconds`, a heartbeat
    `heartbeat_seconds`.
    """

    def __init__(
        self,
        service: ServiceClient,
        runner_id: UUID,
        budgets: Mapping[str, int],
        *,
        seconds: float,
        heartbeat_seconds: float,
    ) -> None:
        self._service, self._runner_id, self._budgets = service, runner_id, budgets
        self._seconds, self._heartbeat_seconds = seconds, heartbeat_seconds

    async def claim(
        self, turn_id: UUID, since: CachedWindowRef | None, principal: Principal, request_id: str
    ) -> Claim:
        body: dict[str, object] = {
            "runner": self._runner_id,
            "since": since,
            "budgets": self._budgets,
        }
        answer = await self._call("POST", f"/turns/{turn_id}/claim", principal, request_id, body)
        claim = _decoded(answer, _ClaimAnswer)
        return Claim(_turn(claim.turn), claim.run if claim.claimed else None, _key(claim.key))

    async def turn(self, turn_id: UUID, principal: Principal, request_id: str) -> Turn:
        return _turn(await self._call("GET", f"/turns/{turn_id}", principal, request_id))

    async def end(self, turn_id: UUID, ending: Ending, request_id: str) -> Turn:
        """Tell how the reply ended; answers how the turn did, which may be otherwise."""
        verb, body = _told(ending)
        body["runner"] = self._runner_id
        principal = self._service.service_principal
        path = f"/turns/{turn_id}/{verb}"
        turn = _turn(await self._call("POST", path, principal, request_id, body))
        if turn.status == "running":
            raise _unusable()
        return turn

    async def suggest_title(
        self, session_id: UUID, title: str, model: str, answered: OneShotResult
    ) -> None:
        body: dict[str, object] = {"title": title, "model": model} | _charged(answered)
        await self._tell(f"/sessions/{session_id}/title", body)

    async def compact(
        self, session_id: UUID, up_to: UUID, summary: str, model: str, answered: OneShotResult
    ) -> None:
        usage = answered.usage
        body: dict[str, object] = {
            "up_to_message_id": up_to,
            "summary": summary,
            "tokens": None if usage.estimated else usage.completion_tokens,
            "model": model,
        }
        await self._tell(f"/sessions/{session_id}/compaction", body | _charged(answered))

    async def completion_served(self, served: UsageRecord) -> None:
        """Record what a completion used, in the name of whoever asked for it."""
        body: dict[str, object] = {
            "id": served.id,
            "model": served.model,
            "status": served.status,
        }
        body |= _charged(served)
        await self._call("POST", "/completions", served.principal, served.request_id, body)

    async def heartbeat(self, turn_ids: Sequence[UUID]) -> Heartbeat:
        """Name the turns that this process runs."""
        answer = await self._call(
            "POST",
            f"/runners/{self._runner_id}/heartbeat",
            self._service.service_principal,
            uuid4().hex,
            {"turns": turn_ids},
            seconds=self._heartbeat_seconds,
        )
        return _decoded(answer, Heartbeat)

    async def check(self) -> None:
        """Raises when session cannot be reached."""
        await self._call("GET", "/healthz", self._service.service_principal, uuid4().hex)

    async def _tell(self, path: str, body: dict[str, object]) -> None:
        principal = self._service.service_principal
        await self._call("POST", path, principal, uuid4().hex, body)

    async def _call(
        self,
        method: str,
        path: str,
        principal: Principal,
        request_id: str,
        body: dict[str, object] | None = None,
        *,
        seconds: float | None = None,
    ) -> bytes:
        answer = await self._service.call(
            method,
            path,
            principal=principal,
            request_id=request_id,
            body=None if body is None else msgspec.json.encode(body),
            timeout=seconds or self._seconds,
        )
        return answer.body


class _ClaimAnswer(msgspec.Struct):
    claimed: bool
    turn: msgspec.Raw
    run: TurnInput | None = None
    key: str | None = None


def _charged(made: Ending | OneShotResult | UsageRecord) -> dict[str, object]:
    return {
        "usage": made.usage and made.usage.model_dump(),
        "price": made.price and made.price.model_dump(),
    }


def _told(ending: Ending) -> tuple[str, dict[str, object]]:
    body = _charged(ending)
    if ending.model is not None:
        body["model"] = ending.model
    match ending:
        case Completed():
            return "complete", body | {
                "content": ending.content,
                "finish_reason": ending.finish_reason,
                "first_token_ms": ending.first_token_ms,
                "total_ms": ending.total_ms,
            }
        case Failed():
            return "fail", body | {
                "code": ending.code,
                "details": SENTENCES[ending.code],
                "partial_content": ending.partial_content,
            }


def _decoded(body: bytes, form: type[Answer]) -> Answer:
    try:
        return msgspec.json.decode(body, type=form)
    except ValueError:
        raise _unusable() from None


def _turn(body: bytes | msgspec.Raw) -> Turn:
    try:
        turn = Turn.model_validate_json(bytes(body))
    except ValueError:
        raise _unusable() from None
    if turn.status != "running" and turn.reply is None:
        raise _unusable()
    return turn


def _key(encoded: str | None) -> DataKey | None:
    try:
        return None if encoded is None else DataKey(base64.b64decode(encoded, validate=True))
    except ValueError:
        raise _unusable() from None


def _unusable() -> ParleyError:
    return Unavailable(
        "The session service answered something unusable; try again.", code="session_unavailable"
    )
