"""Domain errors of assistants: the command was rejected, and no event was appended."""

from parley_session.domain.session.errors import DomainError


class AssistantError(DomainError):
    """A command that the state of the assistant does not allow."""


class AssistantNotFound(AssistantError):
    """The assistant is unknown, or belongs to another tenant: both look the same."""


class AssistantIdTaken(AssistantError):
    """An assistant with this id was defined before, for the tenant or for all."""


class AssistantShared(AssistantError):
    """The assistant is shared by all tenants, and none of them may change it."""


class AssistantAlreadyRetired(AssistantError):
    """The assistant was retired, which is final."""
