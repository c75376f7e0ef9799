"""The fields that several requests share: their forms and bounds."""

import re
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from parley_contracts.api_models import rfc3339

UUID_FORM = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)
ASSISTANT_FORM = r"^[a-z0-9][a-z0-9_-]{0,63}$"
MOST_VERSION = 2**31 - 1
# Clocks differ: what was said a moment ago by another's must not be refused.
CLOCK_LEEWAY = timedelta(seconds=60)
BAD_TIME, FUTURE_TIME, BAD_POINT = "time", "future_time", "point"
"""Kinds of problems whose sentences are this file's own; see `requests`."""

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,10}", re.ASCII)


def _in_one_form(text: Any) -> Any:
    # Pydantic takes several; what has two spellings is compared wrongly somewhere.
    if isinstance(text, str) and not UUID_FORM.fullmatch(text):
        raise ValueError
    return text


def _instant(text: str) -> datetime:
    sentence = "Input should be an RFC 3339 time with an offset, such as 2026-11-24T10:00:00Z."
    try:
        if not _TIME.fullmatch(text.upper()):
            raise ValueError
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise PydanticCustomError(BAD_TIME, sentence) from None


def _date(text: str) -> str:
    try:
        if not _DATE.fullmatch(text):
            raise ValueError
        return date.fromisoformat(text).isoformat()
    except ValueError:
        sentence = "Input should be a date, such as 2026-11-24."
        raise PydanticCustomError(BAD_TIME, sentence) from None


def _past(text: str) -> datetime:
    instant = _instant(text)
    if instant > datetime.now(UTC) + CLOCK_LEEWAY:
        raise PydanticCustomError(FUTURE_TIME, "Input should be a time that has come.")
    return instant


def _in_utc(text: str) -> str:
    return rfc3339(_instant(text))


def _past_in_utc(text: str) -> str:
    return rfc3339(_past(text))


def _version_or_past(text: str) -> str:
    if not _NUMBER.fullmatch(text):
        return _past_in_utc(text)
    if not 1 <= int(text) <= MOST_VERSION:
        raise PydanticCustomError(BAD_POINT, "Input should be a version from 1 on, or a time.")
    return str(int(text))


_A_TIME = {"type": "string", "format": "date-time"}

Id = Annotated[UUID, BeforeValidator(_in_one_form, json_schema_input_type=UUID)]
AssistantId = Annotated[str, Field(min_length=1, max_length=200, examples=["helper"])]
ModelName = Annotated[str, Field(min_length=1, max_length=200)]
Title = Annotated[str, Field(max_length=200, examples=["Holidays"])]
_MetadataKey = Annotated[str, Field(min_length=1, max_length=64)]
_MetadataValue = Annotated[str, Field(max_length=512)]
Metadata = Annotated[
    dict[_MetadataKey, _MetadataValue], Field(max_length=16, examples=[{"topic": "travel"}])
]
Version = Annotated[int, Field(ge=1, le=MOST_VERSION)]
Instant = Annotated[str, AfterValidator(_in_utc), WithJsonSchema(_A_TIME)]
PastInstant = Annotated[str, AfterValidator(_past_in_utc), WithJsonSchema(_A_TIME)]
Date = Annotated[str, AfterValidator(_date), WithJsonSchema({"type": "string", "format": "date"})]
PointInTime = Annotated[
    str,
    AfterValidator(_version_or_past),
    WithJsonSchema(
        {"anyOf": [{"type": "integer", "minimum": 1, "maximum": MOST_VERSION}, _A_TIME]}
    ),
]


class RequestShape(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    def to_json(self) -> bytes:
        """What the client gave, without what it left out."""
        return self.model_dump_json(exclude_unset=True).encode()


class QueryShape(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    def to_query(self) -> dict[str, str]:
        """As a service gets it, defaults written out."""
        given = self.model_dump(mode="json", exclude_none=True)
        return {name: str(value) for name, value in given.items()}
