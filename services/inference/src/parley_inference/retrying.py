"""How long to wait before a model server is asked again."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


def pause_before(
    attempt: int, retry_after: float | None, *, first: float, most: float, jitter: float
) -> float:
    """Seconds before the attempt after number `attempt`; `jitter` is from 0 up to 1.

    What the server asked for, or else double the last pause, spread over its upper half; never
    over `most`.
    """
    if retry_after is not None:
        return min(retry_after, most)
    pause: float = min(first * 2 ** (attempt - 1), most)
    return pause * (1 + jitter) / 2


def retry_after_of(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds that an answer asks to wait.

    Sources: RFC 9110, section 10.2.3 (seconds or a date), and OpenAI's own `retry-after-ms`.
    """
    milliseconds = _number(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return milliseconds / 1000
    asked = headers.get("retry-after", "")
    seconds = _number(asked)
    if seconds is not None or not asked:
        return seconds
    try:
        date = parsedate_to_datetime(asked)
    except ValueError:
        return None
    return max(0.0, (date.replace(tzinfo=date.tzinfo or UTC) - now).total_seconds())


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if 0 <= number < float("inf") else None
