"""UUIDv7 identifiers that increase along a stream (RFC 9562, section 5.7)."""

from datetime import datetime
from uuid import UUID

_RANDOM_BITS = 74
_RANDOM_MASK = (1 << _RANDOM_BITS) - 1


def uuid7_after(previous: UUID | None, time: datetime, randomness: int) -> UUID:
    """Return a UUIDv7 that sorts after `previous`, even after the clock was set back.

    `time` counts in whole milliseconds, `randomness` is a non-negative integer of which the low 74
    bits count. Both are arguments, so that callers can be pure.
    """
    now_ms = int(time.timestamp() * 1000)
    if previous is None or now_ms > milliseconds_of(previous):
        return _compose(now_ms, randomness & _RANDOM_MASK)
    # RFC 9562, method 2: within one millisecond (or behind it) the random part is incremented. The
    # step is random too, so that ids stay hard to guess.
    bits = _random_of(previous) + 1 + (randomness & 0xFFFFFFFF)
    return _compose(milliseconds_of(previous) + (bits >> _RANDOM_BITS), bits & _RANDOM_MASK)


def milliseconds_of(identifier: UUID) -> int:
    """Return the Unix time in milliseconds of a UUIDv7."""
    return identifier.int >> 80


def _random_of(identifier: UUID) -> int:
    return ((identifier.int >> 64) & 0xFFF) << 62 | identifier.int & ((1 << 62) - 1)


def _compose(milliseconds: int, bits: int) -> UUID:
    high = milliseconds << 16 | 0x7000 | bits >> 62
    low = 0b10 << 62 | bits & ((1 << 62) - 1)
    return UUID(int=high << 64 | low)
