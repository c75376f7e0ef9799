"""Run of `parley log generate --stack`: simulated sessions for the event store of a stack."""

import json
import tempfile
from pathlib import Path

from parley_cli.errors import CommandError
from parley_cli.log.generation.command import simulated_events
from parley_cli.log.generation.simulated_stream import SimulatedEvent
from parley_cli.service_commands.locations import StackLocations
from parley_cli.service_commands.service_command import store_command
from parley_events.cloudevents import encode_data

# One transaction appends them all, and the state of all sessions is in memory.
MAX_STACK_SESSIONS = 20_000


def generate_into_stack(locations: StackLocations, sessions: int, seed: int, *, days: int) -> int:
    """Return the exit code: 1 if the event store has sessions. Raises CommandError."""
    if sessions > MAX_STACK_SESSIONS:
        raise CommandError(
            f"A stack takes up to {MAX_STACK_SESSIONS:,} simulated sessions: name fewer, or write "
            "an export with --to."
        )
    keys = locations.master_key_environment()
    with tempfile.TemporaryDirectory(prefix="parley-simulated-") as folder:
        file = Path(folder) / "events.jsonl"
        with file.open("w", encoding="utf-8") as output:
            for simulated in simulated_events(sessions, seed, days):
                output.write(_line(simulated) + "\n")
        return store_command(locations, "append-simulated", str(file), more=keys)


def _line(simulated: SimulatedEvent) -> str:
    event, content = simulated
    return json.dumps(
        {
            "session_id": str(event.session_id),
            "id": str(event.id),
            "sequence": event.sequence,
            "time": event.time.isoformat(),
            "type": event.type,
            "data": encode_data(event.data).decode(),
            "content": content,
        }
    )
