"""Bodies of the assistant routes, and the field types of a definition."""

from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from parley_contracts.session_api.limits import (
    ASSISTANT_ID_PATTERN,
    MAX_ASSISTANT_DESCRIPTION_LENGTH,
    MAX_ASSISTANT_NAME_LENGTH,
    MAX_INSTRUCTIONS_LENGTH,
)
from parley_contracts.session_api.requests import ModelName, Request

AssistantId = Annotated[str, Meta(pattern=rf"^{ASSISTANT_ID_PATTERN}\Z")]
AssistantName = Annotated[str, Meta(min_length=1, max_length=MAX_ASSISTANT_NAME_LENGTH)]
Description = Annotated[str, Meta(max_length=MAX_ASSISTANT_DESCRIPTION_LENGTH)]
Instructions = Annotated[str, Meta(min_length=1, max_length=MAX_INSTRUCTIONS_LENGTH)]


class DefineAssistantRequest(Request):
    """`POST /assistants`; without `model` the default model."""

    id: AssistantId
    name: AssistantName
    instructions: Instructions
    description: Description = ""
    model: ModelName | None = None


class ReviseAssistantRequest(Request):
    """`PATCH /assistants/{id}`; absent fields stay as they are."""

    name: AssistantName | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    instructions: Instructions | UnsetType = UNSET
    model: ModelName | UnsetType | None = UNSET
