"""Turn limits: how many turns and tokens a person may use, decided where the turn is committed."""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from cachetools import LRUCache

from parley_contracts.session_api.limit_bodies import AdmitCompletionRequest, LimitStatus
from parley_core.auth.principal import Credential, Principal
from parley_core.limits.refusals import BudgetExceeded, LimitExceeded, rate_limit_headers
from parley_core.limits.rules import (
    BUDGETS,
    LIMIT_NAMES,
    REQUEST_LIMITS,
    TOKEN_LIMITS,
    Limit,
    LimitName,
    LimitRules,
)
from parley_events.session import Event, ReplyRequested
from parley_session.application.turns.turn_costs import TurnCosts
from parley_session.domain.session.state import Session, fold
from parley_session.storage.append.append_condition import WithinLimits
from parley_session.storage.append.counted_usage import UsageCounted
from parley_session.storage.turn_counts import CountedTurn, LimitReached, TurnCounts, UsageWindows

_MAX_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class AdmittedCompletion:
    """Has the id that the completion must have, if a budget was reserved for it."""

    id: UUID | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


class TurnLimits:
    def __init__(
        self,
        rules: LimitRules,
        counts: TurnCounts,
        costs: TurnCosts,
        key_limits: Callable[[UUID], Awaitable[Mapping[str, int]]],
    ) -> None:
        """`key_limits` reads those that an API key has of its own, which never change."""
        self._rules, self._counts, self._costs = rules, counts, costs
        self._read_key_limits = key_limits
        self._key_limits: LRUCache[str, frozenset[tuple[str, int]]] = LRUCache(_MAX_REMEMBERED)

    @property
    def usage_counted(self) -> UsageCounted:
        """What the rules need of a reply."""
        if self._rules.limit_any(BUDGETS):
            return "costs"
        return "tokens" if self._rules.limit_any(TOKEN_LIMITS) else "nothing"

    async def condition(
        self,
        principal: Principal,
        session: Session | None,
        events: Sequence[Event],
        requested: ReplyRequested,
        parameters: Mapping[str, Any],
    ) -> WithinLimits | None:
        """The condition of the append of `events` that opens a turn with the `parameters`.

        None for a person without limits. Raises NotFound for a model that has no price, if the
        person has a budget.
        """
        principal = await self._with_key_limits(principal)
        counted = self._counted(principal, requested.model, without=REQUEST_LIMITS)
        if counted is None:
            return None
        if counted.has_budget:
            after = fold(events, session)
            assert after is not None
            cost = await self._costs.of_turn(after, requested, parameters)
            counted = replace(counted, cost=cost)
        return WithinLimits(requested.turn_id, counted)

    async def admit_completion(
        self, principal: Principal, request: AdmitCompletionRequest
    ) -> AdmittedCompletion:
        """Count a completion without a session as a turn.

        Its stream is open at the gateway, which limits those. Raises LimitExceeded or
        BudgetExceeded, or NotFound for a model that has no price.
        """
        principal = await self._with_key_limits(principal)
        counted = self._counted_completion(principal, request.model)
        if counted is None:
            return AdmittedCompletion()
        if counted.has_budget:
            counted = replace(counted, cost=self._costs.of_completion(request))
        id = uuid4()
        with self.as_responses():
            windows = await self._counts.count_completion(id, counted)
        headers = await self.token_headers(principal, request.model, windows)
        return AdmittedCompletion(id if counted.has_budget else None, headers)

    async def release_completion(self, principal: Principal, id: UUID) -> None:
        """End the reservation of a completion that did not run."""
        await self._counts.release(principal, id)

    async def completion_subjects(self, principal: Principal, model: str) -> Sequence[str]:
        """The subjects to which the tokens and the cost of a completion count."""
        if self.usage_counted == "nothing":
            return ()
        principal = await self._with_key_limits(principal)
        counted = self._counted_completion(principal, model)
        return counted.subjects if counted else ()

    @contextmanager
    def as_responses(self) -> Iterator[None]:
        """Turn LimitReached into the error of the response."""
        try:
            yield
        except LimitReached as reached:
            if reached.limit.name not in BUDGETS:
                raise LimitExceeded(reached.limit, reached.seconds) from None
            now = datetime.now(UTC)
            # At midnight, by the clock of the database, which may differ from this one.
            renews_at = now + timedelta(seconds=reached.seconds, hours=12)
            renews_at = renews_at.replace(hour=0, minute=0, second=0, microsecond=0)
            raise BudgetExceeded(
                reached.limit,
                self._costs.currency,
                spent=reached.spent,
                reserved=reached.reserved,
                cost=reached.cost,
                renews_at=renews_at,
                now=now,
            ) from None

    async def token_headers(
        self, principal: Principal, model: str, windows: UsageWindows | None
    ) -> Mapping[str, str]:
        """The headers of the limit of tokens of which the least is left, if there is one.

        `windows` are those when the turn was counted, if it was.
        """
        principal = await self._with_key_limits(principal)
        limits = [each for each in self._rules.of(principal, model) if each.name in TOKEN_LIMITS]
        if not limits or windows is None:
            return {}
        standing = [self._status(limit, principal, windows) for limit in limits]
        least = min(standing, key=lambda status: status.value - status.used)
        assert least.resets_at is not None
        reset_seconds = (least.resets_at - windows.now).total_seconds()
        return rate_limit_headers("tokens", least.value, least.used, reset_seconds)

    async def standing(self, principal: Principal) -> Sequence[LimitStatus]:
        """Where the person stands, for each of their limits."""
        principal = await self._with_key_limits(principal)
        limits = [
            limit
            for limit in self._rules.of_every_model(principal)
            if limit.name not in REQUEST_LIMITS
        ]
        if not limits:
            return []
        windows = await self._counts.read(principal, limits)
        return [self._status(limit, principal, windows) for limit in limits]

    async def _with_key_limits(self, principal: Principal) -> Principal:
        key = principal.api_key
        if key is None or not self._rules.limit_any(LIMIT_NAMES):
            return principal
        limits = self._key_limits.get(key)
        if limits is None:
            found = await self._read_key_limits(UUID(key))
            limits = self._key_limits[key] = frozenset(found.items())
        return replace(principal, credential=Credential(limits=limits))

    def _counted_completion(self, principal: Principal, model: str) -> CountedTurn | None:
        return self._counted(principal, model, without=REQUEST_LIMITS | {"open_turns"})

    def _counted(
        self, principal: Principal, model: str, without: frozenset[LimitName]
    ) -> CountedTurn | None:
        limits = [each for each in self._rules.of(principal, model) if each.name not in without]
        return CountedTurn(principal.tenant, principal.user, limits) if limits else None

    def _status(self, limit: Limit, principal: Principal, windows: UsageWindows) -> LimitStatus:
        subject, is_budget = limit.subject(principal.user), limit.name in BUDGETS
        return LimitStatus(
            name=limit.name,
            value=limit.value,
            used=windows.used.get((subject, limit.name), 0),
            per=limit.per,
            api_key=limit.api_key,
            model=limit.model,
            resets_at=_resets_at(limit.name, windows),
            reserved=windows.reserved.get(subject, 0) if is_budget else 0,
            currency=self._costs.currency if is_budget else None,
        )


def _resets_at(name: LimitName, windows: UsageWindows) -> datetime | None:
    if name == "open_turns":
        return None
    if name in ("tokens_per_day", "cost_per_day"):
        return windows.day + timedelta(days=1)
    if name == "cost_per_month":
        # Of its first day, 31 later is in the next month.
        next_month = windows.day.replace(day=1) + timedelta(days=31)
        return next_month.replace(day=1)
    return windows.minute + timedelta(minutes=1)
