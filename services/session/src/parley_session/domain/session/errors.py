"""Why a command was refused. Nothing has happened when one of these is raised."""

from uuid import UUID

from parley_session.domain.session.state import TurnStatus


class DomainError(Exception):
    """A command that the session's rules do not allow."""


class SessionNotFound(DomainError):
    """There is no such session, or it belongs to someone else: the two look the same."""


class SessionIdUnavailable(DomainError):
    """A session with this id was started before."""


class TurnOpen(DomainError):
    """The session is answering another message."""

    def __init__(self, turn_id: UUID) -> None:
        super().__init__(f"turn {turn_id} is still open")
        self.turn_id = turn_id


class TurnNotFound(DomainError):
    """The session never had this turn."""


class TurnAlreadyEnded(DomainError):
    """The turn ended before; `status` tells how."""

    def __init__(self, turn_id: UUID, status: TurnStatus) -> None:
        super().__init__(f"turn {turn_id} has {status}")
        self.turn_id = turn_id
        self.status = status


class ParentNotFound(DomainError):
    """The parent message is not in this session."""


class MessageNotFound(DomainError):
    """The message is not in this session, or is none of the kind that the command is about."""


class NotDeleted(DomainError):
    """There is nothing to restore."""


class LegalHold(DomainError):
    """Nothing may erase the session until the hold is lifted."""


class IdTaken(DomainError):
    """An id stands for a message or a turn already, or twice in one command."""
