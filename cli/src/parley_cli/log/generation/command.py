"""Run of `parley log generate`: merges simulated sessions by time and writes them as an export."""

import heapq
import json
from collections.abc import Iterator
from random import Random
from typing import Any

from parley_cli.errors import CommandError
from parley_cli.log.dataset.export_writer import ExportWriter
from parley_cli.log.dataset.manifest import Manifest, Selection, StreamState
from parley_cli.log.dataset.raw_events import RawEvent, raw_table
from parley_cli.log.dataset.storage_location import storage_at
from parley_cli.log.export.exporter import ExportLimits
from parley_cli.log.generation.simulated_stream import Fields, SimulatedEvent
from parley_cli.log.generation.synthetic_people import ASSISTANTS
from parley_cli.log.generation.synthetic_sessions import (
    FIRST_DAY,
    simulated_session,
    start_times,
)
from parley_core.log import partition_of
from parley_events.assistant import AssistantDefined, assistant_stream
from parley_events.cloudevents import encode, encode_data, record_of
from parley_events.topics import ASSISTANTS_TOPIC, SESSIONS_TOPIC
from parley_events.uuid7 import uuid7_after
from parley_events.values import Actor

PARTITIONS = 12


def generate(target: str, sessions: int, seed: int, *, days: int, content: bool) -> int:
    """Write the export. Raises CommandError if the target is not empty."""
    storage = storage_at(target)
    if next(iter(storage.paths()), None) is not None:
        raise CommandError(f"{storage} is not empty: choose another folder.")
    with storage.exclusive():
        writer = ExportWriter(storage, Manifest(selection=Selection(content=content)))
        _write_assistants(writer, seed)
        write_sessions(writer, simulated_events(sessions, seed, days), content)
        writer.complete()
    print(f"{storage} has {writer.manifest.events:,} events of {sessions:,} sessions.")
    return 0


def simulated_events(sessions: int, seed: int, days: int) -> Iterator[SimulatedEvent]:
    """The events of all sessions in order of their times; those of a session in its order."""
    starts = start_times(sessions, days, Random(seed))
    running: list[tuple[Any, int, SimulatedEvent, Iterator[SimulatedEvent]]] = []
    for number, started_at in enumerate(starts):
        while running and running[0][0] <= started_at:
            yield _next_of(running)
        # A generator of its own, so that a session does not depend on those before it.
        events = simulated_session(Random(f"{seed}/{number}"), started_at)
        first = next(events)
        heapq.heappush(running, (first.event.time, number, first, events))
    while running:
        yield _next_of(running)


def _next_of(running: list[tuple[Any, int, SimulatedEvent, Iterator[SimulatedEvent]]]) -> Any:
    _, number, first, events = running[0]
    if (following := next(events, None)) is None:
        heapq.heappop(running)
    else:
        heapq.heapreplace(running, (following.event.time, number, following, events))
    return first


def write_sessions(writer: ExportWriter, events: Iterator[SimulatedEvent], content: bool) -> None:
    limits, positions = ExportLimits(), dict.fromkeys(range(PARTITIONS), 0)
    partitions = list(positions)
    written: list[RawEvent] = []
    opened: dict[tuple[int, int], dict[str, str | None]] = {}
    for event, fields in events:
        partition = partition_of(str(event.session_id).encode(), partitions)
        raw = RawEvent.of(partition, positions[partition], encode(event))
        positions[partition] += 1
        written.append(raw)
        if content and fields:
            opened[raw.position] = _texts(fields)
        if len(written) >= limits.max_part_events:
            writer.write_parts(raw_table(written), opened if content else None)
            written, opened = [], {}
    writer.write_parts(raw_table(written), opened if content else None)
    state = StreamState(topic=SESSIONS_TOPIC, positions=positions)
    writer.checkpoint("sessions", state, {})


def _write_assistants(writer: ExportWriter, seed: int) -> None:
    random = Random(f"{seed}/assistants")
    written: list[RawEvent] = []
    for offset, assistant in enumerate(ASSISTANTS):
        data = AssistantDefined(
            actor=Actor(tenant="default", user="admin"),
            request_id=f"req-{random.getrandbits(48):012x}",
            assistant_id=assistant.id,
            name=assistant.name,
            description=f"Simulated assistant {assistant.name}.",
            model=assistant.model.name,
            instructions="Answer briefly.",
            default=offset == 0,
        )
        record = record_of(
            subject=assistant_stream(None, assistant.id),
            event_id=uuid7_after(None, FIRST_DAY, random.getrandbits(74)),
            type=data.TYPE,
            sequence=1,
            time=FIRST_DAY,
            traceparent=None,
            value=encode_data(data),
        )
        written.append(RawEvent.of(0, offset, record))
    writer.write_parts(raw_table(written), None)
    state = StreamState(topic=ASSISTANTS_TOPIC, positions={0: len(ASSISTANTS)})
    writer.checkpoint("assistants", state, {})


def _texts(fields: Fields) -> dict[str, str | None]:
    return {name: json.dumps(value, separators=(",", ":")) for name, value in fields.items()}
