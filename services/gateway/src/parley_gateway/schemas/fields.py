"""Field types that several request models share: formats and bounds."""

import re
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError

from parley_contracts.api_models import rfc3339
from parley_contracts.session_api.limits import (
    ASSISTANT_ID_PATTERN,
    MAX_ERROR_CODE_LENGTH,
    MAX_METADATA_ENTRIES,
    MAX_METADATA_KEY_LENGTH,
    MAX_METADATA_VALUE_LENGTH,
    MAX_MODEL_NAME_LENGTH,
    MAX_TITLE_LENGTH,
    NO_CONTROL_CHARACTER,
    SCOPE_PATTERN,
)

UUID_PATTERN = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)
ASSISTANT_ID_REGEX = f"^{ASSISTANT_ID_PATTERN}$"
MAX_VERSION = 2**31 - 1
# A timestamp from a client whose clock is slightly ahead must not be rejected.
CLOCK_SKEW = timedelta(seconds=60)
CUSTOM_ERROR = "parley"
"""The error type of this module's validators; their messages never quote the input."""

_NO_CONTROL_CHARACTER = re.compile(NO_CONTROL_CHARACTER)
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_DIGITS = re.compile(r"[0-9]+", re.ASCII)
CANONICAL_NUMBER = re.compile(r"0|[1-9][0-9]{0,9}", re.ASCII)


def _canonical_uuid(text: Any) -> Any:
    # Pydantic accepts several spellings, and one of them would compare as another id.
    if isinstance(text, str) and not UUID_PATTERN.fullmatch(text):
        raise PydanticCustomError(CUSTOM_ERROR, "Input should be a valid UUID.")
    return text


def _without_control_characters(text: str) -> str:
    if not _NO_CONTROL_CHARACTER.match(text):
        raise PydanticCustomError(
            CUSTOM_ERROR, "Input should be without control characters, such as line breaks."
        )
    return text


def _instant(text: str) -> datetime:
    try:
        if not _TIME.fullmatch(text.upper()):
            raise ValueError
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise PydanticCustomError(
            CUSTOM_ERROR,
            "Input should be an RFC 3339 time with an offset, such as 2026-11-24T10:00:00Z.",
        ) from None


def _date(text: str) -> str:
    try:
        if not _DATE.fullmatch(text):
            raise ValueError
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise PydanticCustomError(
            CUSTOM_ERROR, "Input should be a date, such as 2026-11-24."
        ) from None


def _past(text: str) -> datetime:
    instant = _instant(text)
    if instant > datetime.now(UTC) + CLOCK_SKEW:
        raise PydanticCustomError(CUSTOM_ERROR, "Time must not be in the future.")
    return instant


def _in_utc(text: str) -> str:
    return rfc3339(_instant(text))


def _past_in_utc(text: str) -> str:
    return rfc3339(_past(text))


def _version_or_past(text: str) -> str:
    if not _DIGITS.fullmatch(text):
        return _past_in_utc(text)
    if not CANONICAL_NUMBER.fullmatch(text) or not 1 <= int(text) <= MAX_VERSION:
        raise PydanticCustomError(CUSTOM_ERROR, "Input should be a version from 1, or a time.")
    return text


def _canonical_number(text: Any) -> Any:
    # Pydantic also accepts 1.0, +1, 1_0 and white space.
    if isinstance(text, str) and not CANONICAL_NUMBER.fullmatch(text):
        raise PydanticCustomError(CUSTOM_ERROR, "Input should be a whole number, in digits only.")
    return text


_TIME_SCHEMA = {"type": "string", "format": "date-time"}

Id = Annotated[UUID, BeforeValidator(_canonical_uuid, json_schema_input_type=UUID)]
Name = Annotated[
    str,
    AfterValidator(_without_control_characters),
    Field(min_length=1, json_schema_extra={"pattern": r"^[^\x00-\x1f\x7f]*$"}),
]
"""Text that the services store unsealed, or compare with such text."""
AssistantId = Annotated[Name, Field(max_length=200, examples=["helper"])]
ModelName = Annotated[Name, Field(max_length=MAX_MODEL_NAME_LENGTH)]
ErrorCode = Annotated[Name, Field(max_length=MAX_ERROR_CODE_LENGTH)]
Scope = Annotated[str, Field(pattern=f"^{SCOPE_PATTERN}$", examples=["assistants:write"])]
TokenCount = Annotated[int, Field(ge=0, le=MAX_VERSION)]
Title = Annotated[str, Field(max_length=MAX_TITLE_LENGTH, examples=["Holidays"])]
_MetadataKey = Annotated[str, Field(min_length=1, max_length=MAX_METADATA_KEY_LENGTH)]
_MetadataValue = Annotated[str, Field(max_length=MAX_METADATA_VALUE_LENGTH)]
Metadata = Annotated[
    dict[_MetadataKey, _MetadataValue],
    Field(max_length=MAX_METADATA_ENTRIES, examples=[{"topic": "travel"}]),
]
QueryNumber = Annotated[int, BeforeValidator(_canonical_number)]
"""A whole number in a query string."""
Version = Annotated[int, Field(ge=1, le=MAX_VERSION)]
Instant = Annotated[str, AfterValidator(_in_utc), WithJsonSchema(_TIME_SCHEMA)]
PastInstant = Annotated[str, AfterValidator(_past_in_utc), WithJsonSchema(_TIME_SCHEMA)]
Date = Annotated[str, AfterValidator(_date), WithJsonSchema({"type": "string", "format": "date"})]
VersionOrTime = Annotated[
    str,
    AfterValidator(_version_or_past),
    WithJsonSchema(
        {"anyOf": [{"type": "integer", "minimum": 1, "maximum": MAX_VERSION}, _TIME_SCHEMA]}
    ),
]


class RequestModel(BaseModel):
    """A JSON body."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    def to_json(self) -> bytes:
        """The fields that the client sent, without defaults."""
        return self.model_dump_json(exclude_unset=True).encode()


class PatchModel(RequestModel):
    """A JSON body of at least one field, which changes only the fields that it has."""

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Without defaults: a generated client would send them, and so change every field."""
        reference = super().__get_pydantic_json_schema__(core_schema, handler)
        schema = handler.resolve_ref_schema(reference)
        schema["minProperties"] = 1
        for field in schema["properties"].values():
            field.pop("default", None)
        return reference


class QueryModel(BaseModel):
    """The parameters of a query string."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    def to_query(self) -> dict[str, str]:
        """The query that a service receives, defaults included."""
        values = self.model_dump(mode="json", exclude_none=True)
        return {name: str(value) for name, value in values.items()}
