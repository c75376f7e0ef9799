"""The port through which replies, titles and summaries are streamed from a model."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from parley_inference.models.model_catalogue import Model
from parley_inference.models.server_circuit import Person
from parley_inference.models.wire.chat_message import ChatMessage
from parley_inference.models.wire.stream_attempt import OnChunk


class Provider(Protocol):
    async def stream(
        self,
        model: Model,
        messages: Sequence[ChatMessage],
        person: Person,
        on_chunk: OnChunk,
        parameters: Mapping[str, Any] | None = None,
    ) -> None: ...
