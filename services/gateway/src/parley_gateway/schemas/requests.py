"""Request bodies of the public routes."""

from typing import Annotated, Any, Literal

from pydantic import Field

from parley_contracts.api_models import FinishReason
from parley_contracts.session_api.imports import OnError
from parley_contracts.session_api.limits import (
    MAX_API_KEY_MODELS,
    MAX_API_KEY_NAME_LENGTH,
    MAX_API_KEY_SCOPES,
    MAX_ASSISTANT_DESCRIPTION_LENGTH,
    MAX_ASSISTANT_NAME_LENGTH,
    MAX_IMPORTED_MESSAGES,
    MAX_INSTRUCTIONS_LENGTH,
    MAX_MESSAGE_BYTES,
    MAX_NAMED_RECORDS,
    MAX_REPLY_BYTES,
    MAX_REVOCATION_TARGET_LENGTH,
)
from parley_contracts.session_api.turns import OnOpenTurn
from parley_core.limits.limit_fields import MAX_COST, MAX_OPEN, MAX_PER_MINUTE, MAX_TOKENS
from parley_events.api_key import RevocationKind
from parley_gateway.schemas.fields import (
    ASSISTANT_ID_REGEX,
    AssistantId,
    ErrorCode,
    Id,
    Instant,
    Metadata,
    ModelName,
    Name,
    PastInstant,
    PatchModel,
    RequestModel,
    Scope,
    Title,
    TokenCount,
    Version,
)

_Content = Annotated[
    str, Field(min_length=1, description=f"At most {MAX_MESSAGE_BYTES} bytes of UTF-8.")
]
_Name = Annotated[
    str, Field(min_length=1, max_length=MAX_ASSISTANT_NAME_LENGTH, examples=["Pirate"])
]
_Description = Annotated[str, Field(max_length=MAX_ASSISTANT_DESCRIPTION_LENGTH)]
_Instructions = Annotated[
    str, Field(min_length=1, max_length=MAX_INSTRUCTIONS_LENGTH, examples=["Speak as a pirate."])
]


class StartSession(RequestModel):
    """All fields are optional."""

    id: Id | None = Field(
        None, description="A client-chosen id. An id in use, or of an erased session, is a 409."
    )
    assistant_id: AssistantId | None = Field(None, description="Default: the default assistant.")
    title: Title | None = None
    metadata: Metadata | None = None
    temporary: bool = Field(
        False, description="Excluded from lists and search, and erased at `expires_at`."
    )


class ChangeSession(PatchModel):
    """At least one field. Changing `legal_hold` requires the scope `admin`."""

    title: Title | None = Field(None, description="null removes the title.")
    metadata: Metadata = Field({}, description="Replaces all metadata.")
    archived: bool = False
    legal_hold: bool = Field(False, description="While true, the session cannot be erased.")


class ForkSession(RequestModel):
    """All fields are optional."""

    message_id: Id | None = Field(
        None, description="The last message to copy. Default: the newest of the current branch."
    )
    id: Id | None = Field(None, description="A client-chosen id for the new session.")
    title: Title | None = Field(None, description="Default: the title of the session.")


class SwitchAssistant(RequestModel):
    assistant_id: AssistantId


class EmptyBody(RequestModel):
    """No field; the body may be left out."""


class ReplyOptions(RequestModel):
    """How the reply is returned."""

    stream: bool = Field(False, description="Stream the reply as server-sent events.")
    background: bool = Field(
        False, description="Return the running turn at once. Excludes `stream`."
    )
    on_open_turn: OnOpenTurn = Field(
        "reject",
        description="If the session is still answering: `reject` the request, or `interrupt` the "
        "reply, which keeps its text so far. A reply that was cancelled before needs neither.",
    )

    def to_command(self) -> bytes:
        """The command for the session service."""
        return self.model_dump_json(exclude={"stream", "background"}, exclude_unset=True).encode()


class SubmitMessage(ReplyOptions):
    content: _Content = Field(examples=["Hello! My name is Ada."])
    parent_message_id: Id | None = Field(
        None,
        description="The message to follow; the new message becomes a sibling of those that "
        "already follow it. null starts the conversation over. Default: the newest message.",
    )


class Regenerate(ReplyOptions):
    message_id: Id | None = Field(
        None, description="A user message. Default: the newest one of the current branch."
    )


class ImportedUsage(RequestModel):
    """Not charged to the session. `total_tokens` is not stored."""

    prompt_tokens: TokenCount
    completion_tokens: TokenCount
    total_tokens: int | None = Field(None, ge=0)
    estimated: bool = False


class ImportedMessage(RequestModel):
    """`status` and the fields after it are those of a reply, with the role `assistant`.

    `object`, `session_id`, `turn_id` and `version` are those of an export and are not stored.
    """

    id: Id | None = Field(
        None, description="Default: derived from this message and those before it in the call."
    )
    parent_message_id: Id | None = Field(
        None,
        description="A message of the session, or an earlier one of the call. null begins a "
        "branch of its own. Default: the newest message.",
    )
    role: Literal["user", "assistant", "system"]
    content: str = Field(
        description=f"At most {MAX_MESSAGE_BYTES} bytes of UTF-8, those of a reply "
        f"{MAX_REPLY_BYTES}. Only a failed or cancelled reply may be empty."
    )
    created_at: PastInstant | None = Field(
        None, description="The original time of the message, which is not in the future."
    )
    status: Literal["completed", "failed", "cancelled"] = "completed"
    model: ModelName | None = None
    finish_reason: FinishReason | None = None
    usage: ImportedUsage | None = None
    error_code: ErrorCode | None = Field(None, description="The reason of a failed reply.")
    object: Literal["message"] = "message"
    session_id: Id | None = None
    turn_id: Id | None = None
    version: Version | None = None


class ImportMessages(RequestModel):
    """Messages in order, each after its parent. `object` and `session` are those of an export and
    are not stored.
    """

    messages: list[ImportedMessage] = Field(max_length=MAX_IMPORTED_MESSAGES)
    on_error: OnError = Field(
        "reject",
        description="If messages are bad: `reject` the whole import, or `skip` them. Both name "
        f"the first {MAX_NAMED_RECORDS} of them.",
    )
    object: Literal["session_export"] = "session_export"
    session: dict[str, Any] | None = None


class Search(RequestModel):
    query: str = Field(
        min_length=1,
        max_length=500,
        description="Words that a message must all contain: at least one.",
    )
    limit: int = Field(20, ge=1, le=100, description="Without a fraction: `20.0` is not accepted.")
    after: Id | None = Field(
        None, description="The last message of the previous page: one of the caller's."
    )
    assistant_id: AssistantId | None = None
    session_id: Id | None = None


class DefineAssistant(RequestModel):
    id: str = Field(
        pattern=ASSISTANT_ID_REGEX,
        description="At most 64 lower-case letters, digits, `_` and `-`; the first is a letter or "
        "a digit.",
        examples=["pirate"],
    )
    name: _Name
    description: _Description = ""
    instructions: _Instructions
    model: ModelName | None = Field(None, description="Default: the default model.")


_Open = Annotated[int, Field(ge=0, le=MAX_OPEN)]
_PerMinute = Annotated[int, Field(ge=0, le=MAX_PER_MINUTE)]
_Tokens = Annotated[int, Field(ge=0, le=MAX_TOKENS)]
_Cost = Annotated[
    int, Field(ge=0, le=MAX_COST, description="In micro-units of the currency of the prices.")
]


class ApiKeyLimits(RequestModel):
    """They apply beside one's own limits, and none may exceed one's own."""

    requests_per_minute: _PerMinute | None = None
    turns_per_minute: _PerMinute | None = None
    open_turns: _Open | None = None
    open_streams: _Open | None = None
    tokens_per_minute: _Tokens | None = None
    tokens_per_day: _Tokens | None = None
    cost_per_day: _Cost | None = None
    cost_per_month: _Cost | None = None


class CreateApiKey(RequestModel):
    name: Name = Field(
        min_length=1,
        max_length=MAX_API_KEY_NAME_LENGTH,
        description="What the key is for.",
        examples=["nightly report"],
    )
    scopes: list[Scope] = Field(
        [], max_length=MAX_API_KEY_SCOPES, description="Some of your own scopes."
    )
    models: list[ModelName] | None = Field(
        None, min_length=1, max_length=MAX_API_KEY_MODELS, description="Default: all models."
    )
    expires_at: Instant | None = Field(
        None, description="Within 10 years. Default: when it is revoked."
    )
    limits: ApiKeyLimits | None = Field(
        None, description="What the key may use, of what the operator's limits count."
    )


class RevokeTokens(RequestModel):
    kind: RevocationKind = Field(
        description="One token, or all that were issued to a user or in the tenant until now."
    )
    target: Name = Field(
        max_length=MAX_REVOCATION_TARGET_LENGTH,
        description="The `jti` of the token, the user, or the tenant, which is your own.",
        examples=["staff:ada"],
    )
    expires_at: Instant | None = Field(
        None,
        description="The expiry of a single token, until which its revocation is kept. Default: "
        "in 366 days, which no token outlives.",
    )


class ReviseAssistant(PatchModel):
    """At least one field."""

    name: _Name = ""
    description: _Description = ""
    instructions: _Instructions = ""
    model: ModelName | None = Field(None, description="null is the default model.")
