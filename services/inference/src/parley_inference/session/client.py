"""Client of the session service's internal API; docs/internal-api.md describes the calls."""

from collections.abc import Callable, Mapping, Sequence
from uuid import UUID, uuid4

import msgspec

from parley_contracts.api_models import Turn
from parley_contracts.session_api.requests import ModelPrice, Request, TokenUsage
from parley_contracts.session_api.turns import (
    CachedWindow,
    CancelledTurnsResponse,
    ClaimTurnRequest,
    CompactContextRequest,
    HeartbeatRequest,
    HeartbeatResponse,
    RecordCompletionRequest,
    SuggestTitleRequest,
)
from parley_core.auth.caller import Caller
from parley_core.http.service_client import ServiceClient
from parley_inference.models.outcome import ReplyOutcome
from parley_inference.session.contract import (
    Claim,
    InvalidResponse,
    decode,
    decode_claim,
    decode_turn,
    end_turn_request,
)
from parley_inference.session.usage_record import OneShotResult, UnusedReservation, UsageRecord

TIMEOUT_SECONDS = 5
# Short, because a stuck replica must leave time for several more heartbeats, which may reach
# others, within the 10 s after which session interrupts the turns of this process.
HEARTBEAT_TIMEOUT_SECONDS = 1


class SessionClient:
    """Calls session as one runner; every call raises a ParleyError on failure.

    `prompt_budgets` returns tokens by model name.
    """

    def __init__(
        self,
        service: ServiceClient,
        runner_id: UUID,
        prompt_budgets: Callable[[], Mapping[str, int]],
    ) -> None:
        self._service, self._runner_id = service, runner_id
        self._prompt_budgets = prompt_budgets

    async def claim(self, turn_id: UUID, since: CachedWindow | None, caller: Caller) -> Claim:
        """Claim a turn; its context then holds only what follows the window `since`."""
        request = ClaimTurnRequest(self._runner_id, since, dict(self._prompt_budgets()))
        return decode_claim(await self._call("POST", f"/turns/{turn_id}/claim", caller, request))

    async def get_turn(self, turn_id: UUID, caller: Caller) -> Turn:
        return decode_turn(await self._call("GET", f"/turns/{turn_id}", caller))

    async def end_turn(self, turn_id: UUID, outcome: ReplyOutcome, request_id: str) -> Turn:
        """Commit the outcome; returns the ended turn, which may have ended otherwise before."""
        action, request = end_turn_request(self._runner_id, outcome)
        caller = Caller(self._service.service_principal, request_id)
        turn = decode_turn(await self._call("POST", f"/turns/{turn_id}/{action}", caller, request))
        if turn.status == "running":
            raise InvalidResponse
        return turn

    async def suggest_title(
        self, session_id: UUID, title: str, model: str, result: OneShotResult
    ) -> None:
        request = SuggestTitleRequest(
            title=title,
            model=model,
            usage=TokenUsage.of(result.usage),
            price=ModelPrice.of(result.price),
        )
        await self._call("POST", f"/sessions/{session_id}/title", self._own_caller(), request)

    async def compact(
        self, session_id: UUID, up_to: UUID, summary: str, model: str, result: OneShotResult
    ) -> None:
        usage = result.usage
        request = CompactContextRequest(
            up_to_message_id=up_to,
            summary=summary,
            tokens=None if usage.estimated else usage.completion_tokens,
            model=model,
            usage=TokenUsage.of(usage),
            price=ModelPrice.of(result.price),
        )
        await self._call("POST", f"/sessions/{session_id}/compaction", self._own_caller(), request)

    async def record_completion(self, record: UsageRecord) -> None:
        """Record the usage of a completion on behalf of its caller."""
        usage = record.usage
        request = RecordCompletionRequest(
            id=record.id,
            model=record.model,
            status=record.status,
            usage=TokenUsage(usage.prompt_tokens, usage.completion_tokens, usage.estimated),
            price=ModelPrice.of(record.price),
        )
        caller = Caller(record.principal, record.request_id)
        await self._call("POST", "/completions", caller, request)

    async def release_completion(self, unused: UnusedReservation) -> None:
        """End the reservation of a completion that used nothing."""
        caller = Caller(unused.principal, unused.request_id)
        await self._call("DELETE", f"/completions/admission/{unused.id}", caller)

    async def heartbeat(self, turn_ids: Sequence[UUID], capacity: int) -> HeartbeatResponse:
        """Report the turns that this process runs, and how many it can run at once."""
        answer = await self._call(
            "POST",
            f"/runners/{self._runner_id}/heartbeat",
            self._own_caller(),
            HeartbeatRequest([*turn_ids], capacity),
            timeout_seconds=HEARTBEAT_TIMEOUT_SECONDS,
        )
        return decode(answer, HeartbeatResponse)

    async def cancelled_turns(self) -> Sequence[UUID]:
        """The turns of this process that were cancelled; session waits up to 2 s for one."""
        answer = await self._call(
            "GET", f"/runners/{self._runner_id}/cancelled-turns", self._own_caller()
        )
        return decode(answer, CancelledTurnsResponse).turns

    def _own_caller(self) -> Caller:
        """The caller of a request that no user made."""
        return Caller(self._service.service_principal, uuid4().hex)

    async def _call(
        self,
        method: str,
        path: str,
        caller: Caller,
        request: Request | None = None,
        *,
        timeout_seconds: float | None = None,
    ) -> bytes:
        answer = await self._service.call(
            method,
            path,
            principal=caller.principal,
            request_id=caller.request_id,
            body=None if request is None else msgspec.json.encode(request),
            timeout=timeout_seconds or TIMEOUT_SECONDS,
        )
        return answer.body
