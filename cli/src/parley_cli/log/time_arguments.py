"""Time arguments: an age such as `15m`, or an ISO 8601 date with or without a time of day."""

import re
from argparse import ArgumentTypeError
from datetime import UTC, datetime, timedelta

_AGE = re.compile(r"(\d{1,6})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def parse_time(text: str, now: datetime) -> datetime:
    """The time in UTC; a time without an offset is taken as UTC. Raises ArgumentTypeError."""
    try:
        if age := _AGE.fullmatch(text):
            return now - timedelta(**{_UNITS[age[2]]: int(age[1])})
        time = datetime.fromisoformat(text)
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ArgumentTypeError(
            "expected an age such as 15m, 2h or 3d, or a time such as 2026-11-24 or "
            "2026-11-24T12:00:00Z"
        ) from None
