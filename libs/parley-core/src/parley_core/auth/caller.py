"""The caller of a request: the person, and the id that follows the request through the services."""

from dataclasses import dataclass

from parley_core.auth.principal import Principal


@dataclass(frozen=True, slots=True)
class Caller:
    principal: Principal
    request_id: str
