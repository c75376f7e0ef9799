"""Why a change of an assistant was refused. Nothing has happened when one of these is raised."""

from parley_session.domain.session.errors import DomainError


class AssistantError(DomainError):
    """A change that the rules of assistants do not allow."""


class AssistantNotFound(AssistantError):
    """There is no such assistant, or it is another tenant's: the two look the same."""


class AssistantIdTaken(AssistantError):
    """An assistant with this id was defined before, for the tenant or for all."""


class AssistantShared(AssistantError):
    """The assistant is every tenant's: none of them may change it."""


class AssistantAlreadyRetired(AssistantError):
    """The assistant was retired, and stays so."""
