"""Times as people type them: `15m` ago, or a date with or without a time of day."""

import re
from argparse import ArgumentTypeError
from datetime import UTC, datetime, timedelta

_AGO = re.compile(r"(\d{1,6})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def moment(text: str, now: datetime) -> datetime:
    """The time in UTC, which is also what a time without an offset is in.

    Raises ArgumentTypeError.
    """
    try:
        if ago := _AGO.fullmatch(text):
            return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        time = datetime.fromisoformat(text)
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ArgumentTypeError(
            "it should look like 15m, 2h or 3d (ago), 2026-11-24 or 2026-11-24T12:00:00Z"
        ) from None
