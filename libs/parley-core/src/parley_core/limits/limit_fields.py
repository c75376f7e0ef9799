"""The fields of limits in a file or a request, and their bounds."""

from collections.abc import Mapping
from typing import Annotated

import msgspec

from parley_core.limits.rules import LIMIT_NAMES, LimitName

MAX_OPEN = 1_000
MAX_PER_MINUTE = 1_000_000
MAX_TOKENS = 10**12
# In micro-units: a thousand million of the currency.
MAX_COST = 10**15

_Open = Annotated[int, msgspec.Meta(ge=0, le=MAX_OPEN)]
_PerMinute = Annotated[int, msgspec.Meta(ge=0, le=MAX_PER_MINUTE)]
_Tokens = Annotated[int, msgspec.Meta(ge=0, le=MAX_TOKENS)]
_Cost = Annotated[int, msgspec.Meta(ge=0, le=MAX_COST)]


class LimitFields(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    requests_per_minute: _PerMinute | None = None
    turns_per_minute: _PerMinute | None = None
    open_turns: _Open | None = None
    open_streams: _Open | None = None
    tokens_per_minute: _Tokens | None = None
    tokens_per_day: _Tokens | None = None
    cost_per_day: _Cost | None = None
    cost_per_month: _Cost | None = None

    def values(self) -> Mapping[LimitName, int]:
        """Those that are set, by name."""
        found = {name: getattr(self, name) for name in LIMIT_NAMES}
        return {name: value for name, value in found.items() if value is not None}
