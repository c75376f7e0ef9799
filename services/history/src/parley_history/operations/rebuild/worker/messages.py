"""What the coordinator hands to a worker, and what it hears from it, as lines of JSON."""

from msgspec import Struct


class Assignment(Struct, frozen=True):
    """Bring the partitions in `ends` up to those positions, in the tables of `version`.

    `bulk`: messages have no keys yet. `parks`: what can never be applied is parked, as in the live
    projection; otherwise it stops everything.
    """

    version: int
    ends: dict[int, int]
    bulk: bool = False
    parks: bool = False


class Done(Struct, frozen=True):
    """So many events more are committed."""

    events: int
