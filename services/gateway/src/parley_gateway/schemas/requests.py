"""The bodies that clients send."""

from typing import Annotated, Literal

from pydantic import Field

from parley_contracts.session_api.limits import MAX_MESSAGE_BYTES
from parley_gateway.schemas.fields import (
    ASSISTANT_FORM,
    AssistantId,
    Id,
    Metadata,
    ModelName,
    PastInstant,
    RequestShape,
    Title,
)

MOST_IMPORTED = 1_000

_Content = Annotated[
    str, Field(min_length=1, description=f"Up to {MAX_MESSAGE_BYTES} bytes of UTF-8.")
]
_Name = Annotated[str, Field(min_length=1, max_length=100, examples=["Pirate"])]
_Description = Annotated[str, Field(max_length=1_000)]
_Instructions = Annotated[
    str, Field(min_length=1, max_length=32_768, examples=["Speak as a pirate."])
]


class StartSession(RequestShape):
    """Every field may be left out."""

    id: Id | None = Field(None, description="An id of your choice; taken or erased ones are 409.")
    assistant_id: AssistantId | None = Field(None, description="Left out: the default assistant.")
    title: Title | None = None
    metadata: Metadata | None = None
    temporary: bool = Field(
        False, description="In no list and no search, and erased at its `expires_at`."
    )


class ChangeSession(RequestShape):
    """At least one of them. `legal_hold` is for administrators."""

    title: Title | None = Field(None, description="null takes it away.")
    metadata: Metadata = Field({}, description="Replaces all there is.")
    archived: bool = False
    legal_hold: bool = Field(False, description="While it is true nothing erases the session.")


class ForkSession(RequestShape):
    """Every field may be left out."""

    message_id: Id | None = Field(
        None, description="The last message to copy. Left out: the newest of the current branch."
    )
    id: Id | None = Field(None, description="An id of your choice for the new session.")
    title: Title | None = Field(None, description="Left out: the session's own.")


class SwitchAssistant(RequestShape):
    assistant_id: AssistantId


class ReplyOptions(RequestShape):
    """How the reply is answered."""

    stream: bool = Field(False, description="Answer with server-sent events as the reply comes.")
    background: bool = Field(
        False, description="Answer at once, while the turn is running; not with `stream`."
    )

    def command(self) -> bytes:
        """What session is told of it."""
        return self.model_dump_json(exclude={"stream", "background"}, exclude_unset=True).encode()


class SubmitMessage(ReplyOptions):
    content: _Content = Field(examples=["Hello! My name is Ada."])
    parent_message_id: Id | None = Field(
        None,
        description="Which message it follows: a sibling of what follows that one already. null "
        "begins the conversation anew. Left out: the newest message.",
    )


class Regenerate(ReplyOptions):
    message_id: Id | None = Field(
        None, description="A message of a user. Left out: the newest one of the current branch."
    )


class ImportedMessage(RequestShape):
    id: Id | None = Field(None, description="Left out: made of the message itself.")
    role: Literal["user", "assistant", "system"]
    content: _Content
    created_at: PastInstant | None = Field(None, description="When it was said.")


class ImportMessages(RequestShape):
    """They follow the newest message, in their order: all of them, or none."""

    messages: list[ImportedMessage] = Field(min_length=1, max_length=MOST_IMPORTED)


class Search(RequestShape):
    query: str = Field(
        min_length=1, max_length=500, description="Words that are all in the message."
    )
    limit: int = Field(20, ge=1, le=100)
    after: Id | None = Field(None, description="The last message of the page before.")
    assistant_id: AssistantId | None = None
    session_id: Id | None = None


class DefineAssistant(RequestShape):
    id: str = Field(pattern=ASSISTANT_FORM, examples=["pirate"])
    name: _Name
    description: _Description = ""
    instructions: _Instructions
    model: ModelName | None = Field(None, description="Left out: the default model.")


class ReviseAssistant(RequestShape):
    """At least one of them."""

    name: _Name = ""
    description: _Description = ""
    instructions: _Instructions = ""
    model: ModelName | None = Field(None, description="null is the default model.")
