"""Query string models of the public routes."""

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from parley_gateway.auth.oidc.claim_mapping import MAX_NAME_LENGTH
from parley_gateway.schemas.fields import (
    CUSTOM_ERROR,
    MAX_VERSION,
    AssistantId,
    Date,
    Id,
    Instant,
    ModelName,
    Name,
    QueryModel,
    QueryNumber,
    VersionOrTime,
)

ALLOW_BEHIND = (
    "Return an older page, marked `behind: true`, where the latest writes are not projected "
    "within 2 s."
)

_ONE = "An item of the list; give either `after` or `before`, not both."


class ListQuery(QueryModel):
    limit: QueryNumber = Field(20, ge=1, le=100)
    order: Literal["desc", "asc"] = Field("desc", description="`desc` is newest first.")

    @field_validator("before", mode="after", check_fields=False)
    @classmethod
    def _one_cursor(cls, before: Any, info: ValidationInfo) -> Any:
        if before is not None and info.data.get("after") is not None:
            raise PydanticCustomError(CUSTOM_ERROR, "Give either after or before, not both.")
        return before


class HistoryQuery(ListQuery):
    after: Id | None = Field(None, description=f"The last message of the previous page. {_ONE}")
    before: Id | None = Field(None, description=f"The first message of the next page. {_ONE}")
    min_version: QueryNumber | None = Field(
        None,
        ge=1,
        le=MAX_VERSION,
        description="A version that the session must have: 400 where it has none such within 2 s.",
    )
    as_of: VersionOrTime | None = Field(
        None,
        description="The history as it was at a version, of at most the session's, or at a time, "
        "which is not in the future.",
    )
    leaf: Id | None = Field(
        None,
        description="The branch that ends with this message of the session. Default: the current "
        "branch. Excludes `branches`.",
    )
    branches: Literal["all"] | None = Field(
        None, description="All messages of all branches, ordered by version. Excludes `leaf`."
    )
    allow_behind: Literal["true", "false"] | None = Field(None, description=ALLOW_BEHIND)


class SessionsQuery(ListQuery):
    after: Id | None = Field(None, description=f"The last session of the previous page. {_ONE}")
    before: Id | None = Field(None, description=f"The first session of the next page. {_ONE}")
    assistant_id: AssistantId | None = None
    archived: Literal["true", "false", "all"] = "false"
    updated_after: Instant | None = None
    updated_before: Instant | None = None
    allow_behind: Literal["true", "false"] | None = Field(None, description=ALLOW_BEHIND)


class AssistantsQuery(ListQuery):
    order: Literal["desc", "asc"] = Field("asc", description="`asc` is catalogue order.")
    after: AssistantId | None = Field(
        None, description=f"The last assistant of the previous page. {_ONE}"
    )
    before: AssistantId | None = Field(
        None, description=f"The first assistant of the next page. {_ONE}"
    )


class RevocationsQuery(QueryModel):
    limit: QueryNumber = Field(20, ge=1, le=100)
    after: Id | None = Field(None, description="The last revocation of the previous page.")


class AuditQuery(ListQuery):
    after: Id | None = Field(None, description=f"The last record of the previous page. {_ONE}")
    before: Id | None = Field(None, description=f"The first record of the next page. {_ONE}")
    user: Annotated[Name, Field(max_length=MAX_NAME_LENGTH)] | None = Field(
        None, description="The user who did it, or was refused it."
    )
    action: (
        Annotated[Name, Field(max_length=MAX_NAME_LENGTH, examples=["session.erased"])] | None
    ) = Field(None, description="An action, such as `session.erased` or `access.refused`.")
    since: Instant | None = None
    until: Instant | None = Field(None, description="Records of this time are not included.")


class ExportQuery(QueryModel):
    format: Literal["json", "markdown"] = "json"


class UsageQuery(QueryModel):
    start: Date | None = Field(
        None,
        description="The first day, in UTC; not after `end`. Default: 30 days up to `end`.",
    )
    end: Date | None = Field(
        None, description="The last day, in UTC. Default: today. At most 366 days after `start`."
    )
    group_by: Literal["day", "session", "assistant", "model", "user"] | None = Field(
        None, description="Default: the total only. `user` requires the scope `admin`."
    )
    session_id: Id | None = None
    assistant_id: AssistantId | None = None
    model: ModelName | None = None
    user: Annotated[Name, Field(max_length=MAX_NAME_LENGTH)] | None = Field(
        None, description="Another user of the tenant. Requires the scope `admin`."
    )
    limit: QueryNumber = Field(20, ge=1, le=100)
    after: Annotated[Name, Field(max_length=1_024)] | None = Field(
        None, description="The `next` of the previous page; requires the same `group_by`."
    )


class ResumeQuery(QueryModel):
    starting_after: QueryNumber | None = Field(
        None,
        ge=0,
        le=MAX_VERSION,
        description="The `id` of the last received event. `Last-Event-ID` takes precedence.",
    )
    ticket: str | None = Field(
        None, description="The ticket of a `stream_url`. The Authorization header is then ignored."
    )
