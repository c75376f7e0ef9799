"""The bounds of whatever waits for a turn."""

from dataclasses import dataclass

from parley_gateway.turns.event_relay import RelayLimits


@dataclass(frozen=True, slots=True)
class TurnLimits:
    """Seconds; see the settings of the same names."""

    body: float
    call: float
    heartbeat: float
    reply: float
    relay: RelayLimits
