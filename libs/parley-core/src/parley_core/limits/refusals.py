"""The responses to requests beyond a limit, with the headers that OpenAI's API sends."""

import math
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

from parley_core.http.errors import TooManyRequests
from parley_core.limits.rules import TOKEN_LIMITS, Limit, LimitName

RATE_LIMIT_HEADERS = tuple(
    f"x-ratelimit-{what}-{kind}"
    for kind in ("requests", "tokens")
    for what in ("limit", "remaining", "reset")
)
_MEANINGS: Mapping[LimitName, str] = {
    "requests_per_minute": "requests per minute",
    "turns_per_minute": "replies requested per minute",
    "open_turns": "replies running at once",
    "open_streams": "requests waiting for a reply or an export at once",
    "tokens_per_minute": "tokens per minute",
    "tokens_per_day": "tokens per day (UTC)",
    "cost_per_day": "per day (UTC)",
    "cost_per_month": "per month (UTC)",
}


class LimitExceeded(TooManyRequests):
    """A limit that is no budget is reached; `param` is its name."""

    def __init__(self, limit: Limit, retry_after_seconds: float) -> None:
        name, value = limit.name, limit.value
        seconds = max(1, math.ceil(retry_after_seconds))
        advice = f"Retry in {seconds} s." if value else "They are not allowed."
        super().__init__(
            f"The limit `{name}` is {value} {_MEANINGS[name]}{_counted(limit)}. {advice}",
            code="quota_exceeded" if name == "tokens_per_day" else "rate_limit_exceeded",
            param=name,
            retry_after_seconds=seconds,
        )
        if not value or name == "tokens_per_day":
            # The OpenAI SDK would retry within seconds.
            self.headers["x-should-retry"] = "false"
        if name in TOKEN_LIMITS:
            self.headers |= rate_limit_headers("tokens", value, value, seconds)


class BudgetExceeded(TooManyRequests):
    """A request may cost more than is left of a budget; `param` is its name."""

    def __init__(
        self,
        limit: Limit,
        currency: str,
        *,
        spent: int,
        reserved: int,
        cost: int,
        renews_at: datetime,
        now: datetime,
    ) -> None:
        """All amounts are in micro-units of the currency; `cost` is what the request may cost."""
        # Otherwise there is room once the replies that run have ended.
        is_spent = spent + cost > limit.value
        super().__init__(
            f"The budget `{limit.name}` is {_amount(limit.value)} {currency} "
            f"{_MEANINGS[limit.name]}{_counted(limit)}: {_amount(spent)} are spent and "
            f"{_amount(reserved)} reserved by replies that run, and this one may cost up to "
            f"{_amount(cost)}. It renews at {renews_at:%Y-%m-%dT%H:%M:%SZ}.",
            code="quota_exceeded",
            param=limit.name,
            retry_after_seconds=math.ceil((renews_at - now).total_seconds()) if is_spent else 1,
        )
        if is_spent:
            self.headers["x-should-retry"] = "false"


def _counted(limit: Limit) -> str:
    counted = " of the tenant" if limit.per == "tenant" else ""
    counted += f" for the model {limit.model}" if limit.model else ""
    return counted + (" for this API key" if limit.api_key else "")


def _amount(micros: int) -> str:
    return f"{Decimal(micros).scaleb(-6):f}"


def rate_limit_headers(kind: str, limit: int, used: int, reset_seconds: float) -> dict[str, str]:
    """The headers of a limit of `kind`, `requests` or `tokens`.

    https://platform.openai.com/docs/guides/rate-limits#rate-limits-in-headers
    """
    return {
        f"x-ratelimit-limit-{kind}": str(limit),
        f"x-ratelimit-remaining-{kind}": str(max(0, limit - used)),
        f"x-ratelimit-reset-{kind}": format_duration(reset_seconds),
    }


def format_duration(seconds: float) -> str:
    """Whole seconds, rounded up, as OpenAI writes them: `1s`, `6m0s`, `23h59m1s`."""
    minutes, rest = divmod(math.ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{rest}s"
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
