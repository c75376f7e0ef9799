"""Tokens that were verified a moment ago: whose they are, without verifying them again."""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from parley_core.auth.principal import Principal


@dataclass(frozen=True, slots=True)
class Verified:
    """`person` is the principal's identity. `until` is in seconds of Unix time."""

    principal: Principal
    person: tuple[str, str]
    until: float


class VerifiedTokenCache:
    """At most `most`; each for `seconds` at most, and never beyond its own end."""

    def __init__(self, most: int, seconds: float, clock: Callable[[], float] = time.time) -> None:
        self._most, self._seconds, self._clock = most, seconds, clock
        # By digest: whoever reads this memory has no token.
        self._by_digest: OrderedDict[bytes, Verified] = OrderedDict()

    def find(self, authorization: bytes) -> Verified | None:
        """By the whole value of the Authorization header."""
        digest = hashlib.sha256(authorization).digest()
        verified = self._by_digest.get(digest)
        if verified is None:
            return None
        if self._clock() >= verified.until:
            del self._by_digest[digest]
            return None
        self._by_digest.move_to_end(digest)
        return verified

    def keep(self, authorization: bytes, principal: Principal, ends_at: float) -> None:
        now = self._clock()
        until = min(ends_at, now + self._seconds)
        if until <= now:
            return
        person = (principal.tenant, principal.user)
        digest = hashlib.sha256(authorization).digest()
        self._by_digest[digest] = Verified(principal, person, until)
        if len(self._by_digest) > self._most:
            self._by_digest.popitem(last=False)

    def forget(self) -> None:
        """Every one is to be verified again: by other keys, it may be refused."""
        self._by_digest.clear()
