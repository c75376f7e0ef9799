"""The caller of a request: the person, and what identifies the request in all services."""

from dataclasses import dataclass

from parley_core.auth.principal import Principal


@dataclass(frozen=True, slots=True)
class Caller:
    """`client_address` and `token_id` are what the gateway knows of the client and its token."""

    principal: Principal
    request_id: str
    client_address: str | None = None
    token_id: str | None = None
