"""The principal of a call: an authenticated user of a tenant, or a service in its own name."""

from dataclasses import dataclass, field

SERVICE_TENANT = "parley"
"""The tenant of services; no person belongs to it."""


@dataclass(frozen=True, slots=True)
class Credential:
    """What a token says of itself: its `jti`, and when it was issued, in seconds of Unix time.

    None stands for a claim that it lacks. An API key has the time of its creation, and `limits` of
    its own, by name.
    """

    token_id: str | None = None
    issued_at: float | None = None
    limits: frozenset[tuple[str, int]] = frozenset()


@dataclass(frozen=True)
class Principal:
    """An authenticated user of a tenant, and the scopes granted to them.

    `models` are those that they may use, None for all. `api_key` is the id of the API key that a
    program of theirs sent. `credential` is what the gateway received; other services do not get it.
    `pseudonym` stands for the user in the logs of services that the gateway calls.
    """

    tenant: str
    user: str
    scopes: frozenset[str] = frozenset()
    models: frozenset[str] | None = None
    api_key: str | None = None
    credential: Credential = field(default=Credential(), compare=False)
    pseudonym: str | None = field(default=None, compare=False)

    def may_use(self, model: str) -> bool:
        return self.models is None or model in self.models

    @property
    def is_service(self) -> bool:
        """Whether it is a service that calls in its own name."""
        return self == service_principal(self.user)


def service_principal(service: str) -> Principal:
    """The principal of a service in its own name, on nobody's behalf."""
    return Principal(SERVICE_TENANT, service)
