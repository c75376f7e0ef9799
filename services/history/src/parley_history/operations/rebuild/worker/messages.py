"""Messages between the coordinator and its workers, one JSON document per line."""

from msgspec import Struct


class Assignment(Struct, frozen=True):
    """Bring the partitions in `ends` up to those positions, in the tables of `version`.

    `bulk` means that messages have no keys yet. With `park_failures`, a record that cannot be
    applied parks its session, as in the live projection; otherwise it ends the rebuild.
    """

    version: int
    ends: dict[int, int]
    bulk: bool = False
    park_failures: bool = False


class Committed(Struct, frozen=True):
    """Reports the number of events of a transaction that was committed."""

    events: int
