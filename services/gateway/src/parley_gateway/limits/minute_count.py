"""What a gateway knows of the requests of a minute that one limit counts, and decides from it."""

import math
from dataclasses import dataclass

# What a gateway takes ahead of need is lost to a person whose requests all go to another one: a
# twenty-fifth of the limit in all other gateways, and a quarter of its share of what is left.
_PART_OF_LIMIT, _PART_OF_SHARE = 25, 4


@dataclass(slots=True)
class MinuteCount:
    """The gateway takes requests from Redis, some ahead, and admits them."""

    alone_until: float = 0.0
    """Until then, in Unix time, the gateway counts for itself, without Redis."""
    limit: int = 0
    """That of the last request that asked Redis."""
    waiting: int = 0
    """Requests that wait for Redis."""
    admitted: int = 0
    taken: int = 0
    """Requests taken from Redis."""
    left: int = 0
    """Of those taken, the ones that are not admitted yet."""
    owed: int = 0
    """Requests admitted that Redis does not know of."""
    total: int = 0
    """What all gateways had taken when Redis last replied, at most the limit; 0 before."""
    has_replied: bool = False
    exhausted: int = 0
    """A limit up to this one is used up."""
    low: int = 0
    """More are taken when no more than this are left."""

    def is_alone(self, now: float) -> bool:
        return now < self.alone_until

    def admits(self, limit: int, gateways: int, now: float) -> bool | None:
        """Whether a request is within the limit; None if Redis must be asked."""
        if self.left:
            # They may have been taken for a higher limit of the same person.
            return self.total - self.left < limit
        if self.is_alone(now):
            return self.admitted < math.ceil(limit / gateways)
        if limit <= self.exhausted:
            return False
        # The first requests of a minute do not wait, although the limit may be used up elsewhere.
        if not self.has_replied and self.owed < self.ahead(limit, gateways):
            return True
        return None

    def count(self) -> None:
        self.admitted += 1
        if self.left:
            self.left -= 1
        else:
            self.owed += 1

    def remaining(self, limit: int, gateways: int, now: float) -> int:
        if self.is_alone(now):
            # As if the other gateways had admitted as many.
            return max(0, limit - self.admitted * gateways)
        return max(0, limit - self.total + self.left - self.owed)

    def ahead(self, limit: int, gateways: int) -> int:
        """How many the gateway may have left that nobody waits for."""
        others = max(1, gateways - 1)
        rest = max(0, limit - self.total)
        return min(limit // (_PART_OF_LIMIT * others), rest // (_PART_OF_SHARE * gateways))

    def needs_more(self, limit: int, gateways: int, now: float) -> bool:
        """Whether to take more now, before a request must wait for them."""
        if self.left > self.low or self.is_alone(now) or limit <= self.exhausted:
            return False
        return self.ahead(limit, gateways) > 0

    def wanted(self, gateways: int) -> int:
        return self.waiting + max(0, self.ahead(self.limit, gateways) - self.left)

    def grant(self, wanted: int, paid: int, total: int, gateways: int) -> None:
        """Redis has added what was `wanted`, and of what was owed `paid`: there are `total`."""
        limit = self.limit
        granted = min(wanted, max(0, limit - (total - wanted)))
        self.taken += wanted + paid
        self.owed -= paid
        self.left += granted
        self.total = min(limit, total)
        self.has_replied = True
        self.low = self.ahead(limit, gateways) // 2
        if total >= limit:
            self.exhausted = limit
