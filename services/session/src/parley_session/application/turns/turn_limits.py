"""Turn limits: how many turns and tokens a person may use, decided where the turn is committed."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from uuid import UUID

from parley_contracts.session_api.limit_bodies import LimitStatus
from parley_core.auth.principal import Principal
from parley_core.limits.refusals import LimitExceeded, rate_limit_headers
from parley_core.limits.rules import (
    REQUEST_LIMITS,
    TOKEN_LIMITS,
    Limit,
    LimitName,
    LimitRules,
)
from parley_session.storage.append.append_condition import WithinLimits
from parley_session.storage.database_errors import DATABASE_UNAVAILABLE
from parley_session.storage.turn_counts import CountedTurn, LimitReached, TurnCounts, Windows


class TurnLimits:
    def __init__(self, rules: LimitRules, counts: TurnCounts) -> None:
        self._rules, self._counts = rules, counts

    @property
    def counts_tokens(self) -> bool:
        """Whether any rule limits tokens."""
        return self._rules.limit_any(TOKEN_LIMITS)

    def condition(self, principal: Principal, turn_id: UUID, model: str) -> WithinLimits | None:
        """The condition of the append that opens the turn; None for a person without limits."""
        counted = self._counted(principal, model, without=REQUEST_LIMITS)
        return WithinLimits(turn_id, counted) if counted else None

    async def admit_completion(self, principal: Principal, model: str) -> None:
        """Count a completion without a session as a turn. Raises LimitExceeded.

        Its stream is open at the gateway, which limits those.
        """
        if counted := self._counted_completion(principal, model):
            with refused_as_limit_exceeded():
                await self._counts.count_completion(counted)

    def completion_subjects(self, principal: Principal, model: str) -> Sequence[str]:
        """The subjects to which the tokens of a completion count."""
        counted = self._counted_completion(principal, model) if self.counts_tokens else None
        return counted.subjects if counted else ()

    async def token_headers(self, principal: Principal, model: str) -> Mapping[str, str]:
        """The headers of the limit of tokens of which the least is left, if there is one."""
        limits = [each for each in self._rules.of(principal, model) if each.name in TOKEN_LIMITS]
        if not limits:
            return {}
        try:
            windows = await self._counts.read(principal, limits)
        except DATABASE_UNAVAILABLE:
            # What the headers belong to is committed: its response must not fail for them.
            return {}
        standing = [_status(limit, limit.subject(principal.user), windows) for limit in limits]
        least = min(standing, key=lambda status: status.value - status.used)
        assert least.resets_at is not None
        reset_seconds = (least.resets_at - windows.now).total_seconds()
        return rate_limit_headers("tokens", least.value, least.used, reset_seconds)

    async def standing(self, principal: Principal) -> Sequence[LimitStatus]:
        """Where the person stands, for each of their limits."""
        limits = [
            limit
            for limit in self._rules.of_every_model(principal)
            if limit.name not in REQUEST_LIMITS
        ]
        if not limits:
            return []
        windows = await self._counts.read(principal, limits)
        return [_status(limit, limit.subject(principal.user), windows) for limit in limits]

    def _counted_completion(self, principal: Principal, model: str) -> CountedTurn | None:
        return self._counted(principal, model, without=REQUEST_LIMITS | {"open_turns"})

    def _counted(
        self, principal: Principal, model: str, without: frozenset[LimitName]
    ) -> CountedTurn | None:
        limits = [each for each in self._rules.of(principal, model) if each.name not in without]
        return CountedTurn(principal.tenant, principal.user, limits) if limits else None


@contextmanager
def refused_as_limit_exceeded() -> Iterator[None]:
    """Turns LimitReached into the response to the request."""
    try:
        yield
    except LimitReached as reached:
        raise LimitExceeded(reached.limit, reached.seconds) from None


def _status(limit: Limit, subject: str, windows: Windows) -> LimitStatus:
    return LimitStatus(
        name=limit.name,
        value=limit.value,
        used=windows.used.get((subject, limit.name), 0),
        per=limit.per,
        api_key=limit.api_key,
        model=limit.model,
        resets_at=_resets_at(limit.name, windows),
    )


def _resets_at(name: LimitName, windows: Windows) -> datetime | None:
    if name == "open_turns":
        return None
    if name == "tokens_per_day":
        return windows.day + timedelta(days=1)
    return windows.minute + timedelta(minutes=1)
