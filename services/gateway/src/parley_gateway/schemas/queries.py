"""The queries in the addresses that clients ask for."""

from typing import Annotated, Literal

from pydantic import Field

from parley_gateway.auth.authenticator import LONGEST_NAME
from parley_gateway.schemas.fields import (
    AssistantId,
    Date,
    Id,
    Instant,
    ModelName,
    PointInTime,
    QueryShape,
    Version,
)


class ListQuery(QueryShape):
    limit: int = Field(20, ge=1, le=100)
    order: Literal["desc", "asc"] = Field("desc", description="`desc` is newest first.")


class HistoryQuery(ListQuery):
    after: Id | None = Field(None, description="The last message of the page before.")
    before: Id | None = Field(None, description="The first message of the page after.")
    min_version: Version | None = Field(
        None,
        description="Wait up to 2 s until the session's history is at least at this version.",
    )
    as_of: PointInTime | None = Field(
        None, description="The history as it was at a version, or at a time that has come."
    )
    leaf: Id | None = Field(
        None, description="The branch that ends with this message. Left out: the current one."
    )
    branches: Literal["all"] | None = Field(
        None, description="Every message of every branch, in the order of their versions."
    )


class SessionsQuery(ListQuery):
    after: Id | None = Field(None, description="The last session of the page before.")
    before: Id | None = Field(None, description="The first session of the page after.")
    assistant_id: AssistantId | None = None
    archived: Literal["true", "false", "all"] = "false"
    updated_after: Instant | None = None
    updated_before: Instant | None = None


class AssistantsQuery(ListQuery):
    order: Literal["desc", "asc"] = Field("asc", description="`asc` is in the catalogue's order.")
    after: AssistantId | None = Field(None, description="The last assistant of the page before.")
    before: AssistantId | None = Field(None, description="The first one of the page after.")


class ExportQuery(QueryShape):
    format: Literal["json", "markdown"] = "json"


class UsageQuery(QueryShape):
    start: Date | None = Field(None, description="The first day, in UTC; 30 days up to `end`.")
    end: Date | None = Field(None, description="The last day; left out: today. 366 days at most.")
    group_by: Literal["day", "session", "assistant", "model", "user"] | None = Field(
        None, description="Left out: the total alone. By `user` is for administrators."
    )
    session_id: Id | None = None
    assistant_id: AssistantId | None = None
    model: ModelName | None = None
    user: Annotated[str, Field(min_length=1, max_length=LONGEST_NAME)] | None = Field(
        None, description="Of another person of the tenant, for administrators."
    )
    limit: int = Field(20, ge=1, le=100)
    after: Annotated[str, Field(min_length=1, max_length=1_024)] | None = Field(
        None, description="The `next` of the page before."
    )


class ResumeQuery(QueryShape):
    starting_after: int | None = Field(
        None,
        ge=0,
        le=2**31 - 1,
        description="The `id` of the last event that the client has. `Last-Event-ID` counts more.",
    )
    ticket: str | None = Field(
        None, description="As in a `stream_url`; then no Authorization header counts."
    )
