"""Domain errors of sessions: the command was rejected, and no event was appended."""

from uuid import UUID

from parley_session.domain.session.state import TurnStatus


class DomainError(Exception):
    """A command that the state of the session does not allow."""


class SessionNotFound(DomainError):
    """The session is unknown, or belongs to somebody else: both look the same."""


class SessionIdUnavailable(DomainError):
    """The id was used before, by a session or a completion."""


class TurnOpen(DomainError):
    """Another turn of the session is still open; a `cancelled` one is about to end."""

    def __init__(self, turn_id: UUID, *, cancelled: bool) -> None:
        super().__init__(f"turn {turn_id} is still open")
        self.turn_id, self.cancelled = turn_id, cancelled


class TurnNotFound(DomainError):
    """The turn is not in this session."""


class TurnAlreadyEnded(DomainError):
    """The turn has ended, with `status`."""

    def __init__(self, turn_id: UUID, status: TurnStatus) -> None:
        super().__init__(f"turn {turn_id} has {status}")
        self.turn_id = turn_id
        self.status = status


class ParentNotFound(DomainError):
    """The parent message is not in this session."""


class MessageNotFound(DomainError):
    """The message is not in this session, or has the wrong role for the command."""


class NotDeleted(DomainError):
    """A restore of a session that is not deleted."""


class LegalHold(DomainError):
    """A legal hold prevents the session from being deleted or erased."""


class IdTaken(DomainError):
    """A message or turn id is in use, or occurs twice in one command."""
