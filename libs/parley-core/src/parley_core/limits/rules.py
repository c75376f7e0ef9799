"""Limit rules: how much a person may use, by tenant, user, API key, scope and model (ADR 49)."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal, get_args

from cachetools import LRUCache

from parley_core.auth.principal import Principal

LimitName = Literal[
    "requests_per_minute",
    "turns_per_minute",
    "open_turns",
    "open_streams",
    "tokens_per_minute",
    "tokens_per_day",
    "cost_per_day",
    "cost_per_month",
]
LIMIT_NAMES: tuple[LimitName, ...] = get_args(LimitName)
REQUEST_LIMITS: frozenset[LimitName] = frozenset(("requests_per_minute", "open_streams"))
"""Decided by the gateway, which does not know the model of a request; session decides the rest."""
TOKEN_LIMITS: frozenset[LimitName] = frozenset(("tokens_per_minute", "tokens_per_day"))
BUDGETS: frozenset[LimitName] = frozenset(("cost_per_day", "cost_per_month"))
"""In micro-units of the currency in which models have their prices."""
COMPLETION_LIMITS: frozenset[LimitName] = TOKEN_LIMITS | BUDGETS | {"turns_per_minute"}
"""Those of session that count for a completion without a session, too."""

Counted = Literal["person", "tenant"]
"""Whose use a limit counts."""
COUNTED: tuple[Counted, ...] = get_args(Counted)

_Request = tuple[Principal, frozenset[tuple[str, int]], str | None]

# Bounds the cached limits of people and models.
_MAX_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class LimitRule:
    """Applies to the requests that fit all of its criteria; None fits every request."""

    limits: Mapping[LimitName, int]
    tenant: str | None = None
    user: str | None = None
    api_key: str | None = None
    scope: str | None = None
    model: str | None = None
    per: Counted = "person"

    @property
    def criteria(self) -> tuple[str | None, ...]:
        """The most specific one first."""
        return self.api_key, self.user, self.model, self.scope, self.tenant

    def applies_to(self, principal: Principal, model: str | None) -> bool:
        return (
            self.api_key in (None, principal.api_key)
            and self.user in (None, principal.user)
            and self.model in (None, model)
            and (self.scope is None or self.scope in principal.scopes)
            and self.tenant in (None, principal.tenant)
        )


@dataclass(frozen=True, slots=True)
class Limit:
    """The limit `name` of a person, or of all people of a tenant together.

    It counts one API key or model alone, if its rule names them.
    """

    name: LimitName
    value: int
    api_key: str | None = None
    model: str | None = None
    per: Counted = "person"

    def subject(self, user: str) -> str:
        """Names, within the tenant, what is counted."""
        return subject_of(user if self.per == "person" else None, self.api_key, self.model)


@lru_cache(_MAX_REMEMBERED)
def subject_of(user: str | None, api_key: str | None = None, model: str | None = None) -> str:
    return json.dumps([user, api_key, model], separators=(",", ":"))


class LimitRules:
    """Decides each limit by the most specific rule that applies and sets it.

    If several rules apply that differ only in their scope, the highest limit counts. Rules that
    count a tenant are decided beside those that count a person; the limits of the principal's own
    API key are decided beside both.
    """

    def __init__(self, rules: Sequence[LimitRule] = (), digest: str | None = None) -> None:
        """`digest` is that of the file that has the rules, None without one.

        `revision` is another number whenever the rules were replaced.
        """
        self.revision = 0
        self._remembered: LRUCache[_Request, Sequence[Limit]] = LRUCache(_MAX_REMEMBERED)
        self._use(rules, digest)

    def replace(self, other: "LimitRules") -> None:
        """Apply the rules of another one from now on."""
        self._use(other._rules, other.digest)
        self.revision += 1

    def _use(self, rules: Sequence[LimitRule], digest: str | None) -> None:
        self._rules, self.digest = rules, digest
        self._limited: frozenset[LimitName] = frozenset(
            name for rule in rules for name in rule.limits
        )
        self._remembered.clear()

    def limit_any(self, names: Iterable[LimitName]) -> bool:
        """Whether a rule sets one of these limits."""
        return not self._limited.isdisjoint(names)

    def of(self, principal: Principal, model: str | None = None) -> Sequence[Limit]:
        """The limits of a request; without a `model`, those that depend on none."""
        if not self._rules:
            return ()
        # Principals are equal whatever their credentials are.
        key = principal, principal.credential.limits, model
        limits = self._remembered.get(key)
        if limits is None:
            limits = self._remembered[key] = [*_lowest(self._decide(principal, model))]
        return limits

    def of_every_model(self, principal: Principal) -> Sequence[Limit]:
        """The limits of a person: those for all models, then those for single ones."""
        models = {
            rule.model: None
            for rule in self._rules
            if rule.model is not None and rule.applies_to(principal, rule.model)
        }
        single = [
            limit
            for model in models
            for limit in self.of(principal, model)
            if limit.model is not None
        ]
        return [*self.of(principal), *single]

    def _decide(self, principal: Principal, model: str | None) -> Iterator[Limit]:
        own = dict(principal.credential.limits)
        applying = [rule for rule in self._rules if rule.applies_to(principal, model)]
        for name in LIMIT_NAMES:
            for per in COUNTED:
                candidates = [rule for rule in applying if name in rule.limits and rule.per == per]
                if candidates:
                    rule = max(candidates, key=lambda each: _precedence(each, name))
                    yield Limit(name, rule.limits[name], rule.api_key, rule.model, per)
            # What no rule limits any more is not counted.
            if name in own and name in self._limited:
                yield Limit(name, own[name], principal.api_key)


def _lowest(limits: Iterable[Limit]) -> Iterable[Limit]:
    """A rule and the key itself may limit the same."""
    found: dict[Limit, Limit] = {}
    for limit in limits:
        same = replace(limit, value=0)
        found[same] = min(found.get(same, limit), limit, key=lambda each: each.value)
    return found.values()


def _precedence(rule: LimitRule, name: LimitName) -> tuple[tuple[bool, ...], int]:
    return tuple(criterion is not None for criterion in rule.criteria), rule.limits[name]
