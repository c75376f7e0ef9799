"""Why a change of an assistant was refused. Nothing has happened when one of these is raised."""

from parley_session.domain.session.errors import Refusal


class AssistantRefusal(Refusal):
    """A change that the rules of assistants do not allow."""


class AssistantUnknown(AssistantRefusal):
    """There is no such assistant, or it is another tenant's: the two look the same."""


class AssistantIdTaken(AssistantRefusal):
    """An assistant with this id was defined before, for the tenant or for all."""


class AssistantShared(AssistantRefusal):
    """The assistant is every tenant's: none of them may change it."""


class AssistantIsRetired(AssistantRefusal):
    """The assistant was retired, and stays so."""
