"""A turn of the fake session service."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID, uuid4

from parley_contracts.api_models import ErrorShape, Message, Turn, TurnStatus
from parley_core.auth.principal import Principal
from parley_core.crypto.sealing import DataKey

EndStatus = Literal["completed", "failed", "cancelled"]

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
ADA = Principal("default", "ada")


@dataclass
class StoredTurn:
    id: UUID
    session_id: UUID
    question: str
    model: str = "demo"
    owner: Principal = ADA
    reply_id: UUID = field(default_factory=uuid4)
    message_id: UUID = field(default_factory=uuid4)
    runner: str | None = None
    status: TurnStatus = "running"
    reply: Any = None
    """A `Message` once the turn has ended."""
    error: ErrorShape | None = None
    version: int = 3
    key: DataKey = field(default_factory=DataKey.generate)

    def shape(self) -> Turn:
        message = self._message(self.message_id, "user", self.question, "completed", version=2)
        return Turn(
            id=self.id,
            session_id=self.session_id,
            status=self.status,
            message=message,
            reply_id=self.reply_id,
            reply=self.reply,
            error=self.error,
            version=self.version,
        )

    def end(self, status: EndStatus, content: str, **fields: Any) -> None:
        """End the turn; `fields` are further fields of the reply."""
        self.status, self.version = status, self.version + 1
        self.reply = self._message(
            self.reply_id, "assistant", content, status, version=self.version, **fields
        )

    def _message(
        self,
        id: UUID,
        role: Literal["user", "assistant"],
        content: str,
        status: EndStatus,
        **fields: Any,
    ) -> Message:
        return Message(
            id=id,
            session_id=self.session_id,
            turn_id=self.id,
            parent_message_id=self.message_id if role == "assistant" else None,
            role=role,
            content=content,
            status=status,
            created_at=NOON,
            **fields,
        )
