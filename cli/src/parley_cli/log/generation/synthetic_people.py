"""Tenants, users, assistants and models of a simulated log."""

from dataclasses import dataclass
from random import Random

from parley_events.values import Price


@dataclass(frozen=True, slots=True)
class Model:
    """Delays are medians, in milliseconds; `failures` is the share of turns that fail."""

    name: str
    price: Price | None
    first_token_ms: int
    ms_per_token: float
    failures: float


@dataclass(frozen=True, slots=True)
class Assistant:
    id: str
    name: str
    model: Model
    turns: float
    """The mean number of turns of its sessions."""


@dataclass(frozen=True, slots=True)
class Tenant:
    name: str
    weight: int
    users: int


SMALL = Model("small-1", Price(currency="USD", prompt=150_000, completion=600_000), 180, 8, 0.01)
LARGE = Model(
    "large-2", Price(currency="USD", prompt=2_000_000, completion=8_000_000), 450, 22, 0.02
)
OPEN = Model("open-3", None, 700, 35, 0.06)

ASSISTANTS = (
    Assistant("helper", "Helper", SMALL, 3.0),
    Assistant("coder", "Coder", LARGE, 6.0),
    Assistant("tutor", "Tutor", OPEN, 4.0),
    Assistant("translator", "Translator", SMALL, 1.5),
)
_ASSISTANT_WEIGHTS = (5, 3, 2, 2)

TENANTS = (
    Tenant("default", 2, 40),
    Tenant("acme", 6, 300),
    Tenant("globex", 3, 120),
    Tenant("initech", 1, 15),
)


def choose_tenant(random: Random) -> Tenant:
    return random.choices(TENANTS, [tenant.weight for tenant in TENANTS])[0]


def choose_assistant(random: Random) -> Assistant:
    return random.choices(ASSISTANTS, _ASSISTANT_WEIGHTS)[0]


def choose_user(random: Random, tenant: Tenant) -> str:
    """A few users have most of the sessions."""
    return f"user-{int(tenant.users * random.random() ** 2) + 1}"
