"""Bodies of the turn routes: submit, claim, heartbeat, end, and what may follow a reply."""

from typing import Annotated, Any, Literal
from uuid import UUID

from msgspec import UNSET, Meta, Raw, Struct, UnsetType, field

from parley_contracts.api_models import FinishReason
from parley_contracts.session_api.limits import (
    MAX_PARAMETERS,
    MAX_PRECEDING_MESSAGES,
    MAX_SUMMARY_LENGTH,
    MAX_TITLE_LENGTH,
    MAX_TURNS_PER_HEARTBEAT,
)
from parley_contracts.session_api.requests import (
    BilledRequest,
    Content,
    Count,
    ErrorCode,
    ModelName,
    Request,
    TokenUsage,
)

OnOpenTurn = Literal["reject", "interrupt"]
StopReason = Literal["cancelled", "not_yours"]
CompletionStatus = Literal["completed", "failed", "cut"]
Parameters = Annotated[dict[str, Any], Meta(max_length=MAX_PARAMETERS)]
"""Fields of a chat completion request besides the messages and the model, such as temperature."""


class SubmitMessageRequest(Request):
    """`POST /sessions/{id}/messages`

    A null parent makes it a first message; without the field it follows the newest one.
    `preceding` are texts submitted before `content` in the same append. `attach` is set when a
    request without a key may be a retry: the newest turn is returned if these messages opened it.
    `parameters` go to the model server with this turn. `interrupt` cancels the open turn first.
    """

    content: Content
    parent_message_id: UUID | UnsetType | None = UNSET
    preceding: Annotated[list[Content], Meta(max_length=MAX_PRECEDING_MESSAGES)] = field(
        default_factory=list
    )
    model: ModelName | None = None
    parameters: Parameters = field(default_factory=dict)
    attach: bool = False
    on_open_turn: OnOpenTurn = "reject"


class RegenerateReplyRequest(Request):
    """`POST /sessions/{id}/regenerate`; without `message_id` the newest user message."""

    message_id: UUID | None = None
    on_open_turn: OnOpenTurn = "reject"


class CachedWindow(Request):
    """The context window of a session that the runner has cached, up to `message_id`."""

    version: Annotated[int, Meta(ge=1)]
    budget: Count
    message_id: UUID


class ClaimTurnRequest(Request):
    """`POST /turns/{id}/claim`

    `runner` identifies the claiming process. `budgets` are prompt tokens by model.
    """

    runner: UUID
    since: CachedWindow | None = None
    budgets: dict[str, Count] = field(default_factory=dict)


class PromptMessage(Struct, frozen=True):
    """A message as the model sees it; a summary has no id."""

    id: UUID | None
    role: str
    content: str


class PromptContext(Struct, frozen=True):
    """The context window, or what follows the cached one.

    `base` is the version of the cached window that `messages` continue; null when they replace
    it. `budget` is the model's without the instructions, `tokens` the size of the whole window.
    """

    base: int | None
    version: int
    budget: int
    tokens: int
    messages: list[PromptMessage]


class CompactionTask(Struct, frozen=True):
    """A summary wanted of all messages up to one; `messages` are those before the window."""

    up_to_message_id: UUID
    messages: list[PromptMessage]


class TurnInput(Struct, frozen=True):
    """Input of a reply, and the follow-up tasks wanted once it is committed."""

    model: str
    instructions: str
    context: PromptContext
    suggest_title: bool = False
    compact: CompactionTask | None = None
    parameters: dict[str, Any] = field(default_factory=dict)


class ClaimTurnResponse(Struct):
    """`turn` is a `Turn`. `run` is null when the claim failed or the turn has ended.

    `key` is the session's data key, with which the turn's buffer is sealed, while the turn runs.
    """

    claimed: bool
    turn: Raw
    run: TurnInput | None = None
    key: bytes | None = None


class EndTurnRequest(BilledRequest, kw_only=True):
    """`model` is the one that replied, if it differs from the requested one."""

    runner: UUID
    model: ModelName | None = None


class CompleteTurnRequest(EndTurnRequest, kw_only=True):
    """`POST /turns/{id}/complete`"""

    content: str
    finish_reason: FinishReason
    first_token_ms: Count
    total_ms: Count


class FailTurnRequest(EndTurnRequest, kw_only=True):
    """`POST /turns/{id}/fail`; clients see `details`, which never quotes an upstream body."""

    code: ErrorCode
    details: str | None = None
    partial_content: str | None = None


class HeartbeatRequest(Request):
    """`POST /runners/{id}/heartbeat`: the turns that the process runs, or that wait in it.

    `capacity` is how many it runs at once; 0 while it shuts down.
    """

    turns: Annotated[list[UUID], Meta(max_length=MAX_TURNS_PER_HEARTBEAT)]
    capacity: Annotated[int, Meta(ge=0, le=MAX_TURNS_PER_HEARTBEAT)]


class TurnToStop(Struct, frozen=True):
    """`not_yours`: another process runs the turn, or it has ended."""

    turn_id: UUID
    reason: StopReason


class HeartbeatResponse(Struct, frozen=True):
    """`erased` are the sessions erased or deleted within the last minute."""

    stop: list[TurnToStop]
    erased: list[UUID]


class CancelledTurnsResponse(Struct, frozen=True):
    """`GET /runners/{id}/cancelled-turns`: open turns of the runner that were cancelled."""

    turns: list[UUID]


class SuggestTitleRequest(BilledRequest, kw_only=True):
    """`POST /sessions/{id}/title`"""

    title: Annotated[str, Meta(min_length=1, max_length=MAX_TITLE_LENGTH)]
    model: ModelName


class CompactContextRequest(BilledRequest, kw_only=True):
    """`POST /sessions/{id}/compaction`; `tokens` is the size of the summary, if counted."""

    up_to_message_id: UUID
    summary: Annotated[str, Meta(min_length=1, max_length=MAX_SUMMARY_LENGTH)]
    model: ModelName
    tokens: Count | None = None


class RecordCompletionRequest(BilledRequest, kw_only=True):
    """`POST /completions`: usage of a stateless completion; `cut` means its client disconnected."""

    id: UUID
    model: ModelName
    status: CompletionStatus
    usage: TokenUsage
