"""Run of `parley log export`: plans what to read, exports each stream, and reports."""

import asyncio
import logging
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from msgspec.structs import replace

from parley_cli.errors import CommandError
from parley_cli.log.dataset.event_columns import type_prefix
from parley_cli.log.dataset.export_writer import (
    ExportWriter,
    delete_unnamed_files,
    load_applied,
)
from parley_cli.log.dataset.manifest import (
    PROGRESS,
    Manifest,
    Selection,
    StreamState,
    load_progress,
    save,
)
from parley_cli.log.dataset.storage_location import Storage
from parley_cli.log.export.content_opener import ContentOpener
from parley_cli.log.export.exporter import ExportLimits, StreamExporter
from parley_cli.log.export.log_range import range_starts, selected_ends
from parley_cli.log.export.progress import progress_report
from parley_cli.log.tail.resilient_reader import ResilientLog
from parley_cli.log.tail.unsealing import Unsealer, open_unsealer
from parley_cli.service_commands.locations import SessionAccess
from parley_core.log import Brokers, LogError, LogReader, PositionOutOfRange
from parley_events.asyncapi.streams import STREAMS, Stream


@dataclass(frozen=True)
class ExportOptions:
    """`selection` None: that of the export which is continued.

    `ends` has the positions at which to end, by stream; by default those of the log.
    """

    selection: Selection | None
    resume: bool = False
    limits: ExportLimits = field(default_factory=ExportLimits)
    ends: Mapping[str, Mapping[int, int]] = field(default_factory=dict)


async def export_log(
    brokers: Brokers,
    storage: Storage,
    options: ExportOptions,
    session: Callable[[], SessionAccess] | None = None,
    streams: tuple[Stream, ...] = STREAMS,
) -> Manifest:
    """Export the selected events, or those that were added since. Raises CommandError.

    `session` is called if content is selected.
    """
    # Outages are reported in one line by ResilientLog, not by the client's own log lines.
    logging.getLogger("aiokafka").addHandler(logging.NullHandler())
    # Before the lock, which would leave a file in a folder that is no export.
    _manifest_to_continue(storage, load_progress(storage)[1], options)
    async with AsyncExitStack() as stack:
        stack.enter_context(storage.exclusive())
        complete, current = load_progress(storage)
        manifest = _manifest_to_continue(storage, current, options)
        delete_unnamed_files(storage, complete, manifest)
        if current is None:
            # From here on, the export can be continued.
            save(storage, PROGRESS, manifest)
        writer = ExportWriter(storage, manifest)
        with_content = manifest.selection.content
        unsealer = await _unsealer(stack, session()) if session and with_content else None
        progress = stack.enter_context(progress_report())
        for stream in _selected(streams, manifest.selection):
            reader = LogReader(brokers, stream.topic)
            try:
                await reader.start()
                state, ends = await _range(reader, stream, writer.manifest, options)
                exporter = StreamExporter(
                    stream,
                    state,
                    load_applied(storage, state.applied),
                    writer,
                    opener=ContentOpener(unsealer) if unsealer else None,
                    limits=options.limits,
                )
                log = ResilientLog(reader, brokers, _print_notice)
                await exporter.run(log, ends, progress)
            except PositionOutOfRange as error:
                raise CommandError(
                    f"{error} If the topic was lost, run `parley log restore` and export into "
                    "another folder."
                ) from error
            except LogError as error:
                raise CommandError(str(error)) from error
            finally:
                await reader.close()
        writer.complete()
    return writer.manifest


def _manifest_to_continue(
    storage: Storage, current: Manifest | None, options: ExportOptions
) -> Manifest:
    if current is None:
        # The first file of an export, when the process was killed before it had its name.
        if any(path != f"{PROGRESS}.partial" for path in storage.paths()):
            raise CommandError(f"{storage} is not empty and has no export: choose another folder.")
        return Manifest(selection=options.selection or Selection())
    if not options.resume:
        raise CommandError(
            f"{storage} already has an export: append what is new with --continue, or choose "
            "another folder."
        )
    if options.selection not in (None, current.selection):
        raise CommandError(
            f"The export in {storage} has another selection: leave its options out with "
            "--continue, or choose another folder."
        )
    return current


def _selected(streams: tuple[Stream, ...], selection: Selection) -> list[Stream]:
    types = selection.types
    if not types:
        return list(streams)
    return [
        stream for stream in streams if any(each.startswith(type_prefix(stream)) for each in types)
    ]


async def _range(
    reader: LogReader, stream: Stream, manifest: Manifest, options: ExportOptions
) -> tuple[StreamState, Mapping[int, int]]:
    """The state to begin with, and the positions at which to end. Raises CommandError."""
    selection = manifest.selection
    log_ends = await reader.end_positions()
    state = manifest.streams.get(stream.channel) or StreamState(topic=stream.topic)
    # Also partitions that were added to the topic since the last export.
    added = await range_starts(reader, stream, selection, state.positions)
    state = replace(state, positions={**state.positions, **added})
    for partition, at in state.positions.items():
        if at > (end := log_ends.get(partition, 0)):
            raise CommandError(
                f"The export ends at {partition}:{at} of {stream.topic}, and the log at "
                f"{partition}:{end}: the topic was lost or created again. Run `parley log "
                "restore`, and export into another folder."
            )
    ends = options.ends.get(stream.channel) or selected_ends(stream, selection, log_ends)
    return state, {
        partition: max(at, ends.get(partition, 0)) for partition, at in state.positions.items()
    }


async def _unsealer(stack: AsyncExitStack, session: SessionAccess) -> Unsealer:
    _print_notice("Message content is written in clear text.")
    # Only this user may read the files.
    stack.callback(os.umask, os.umask(0o077))
    return await stack.enter_async_context(open_unsealer(session))


def run_export(
    brokers: Brokers, storage: Storage, options: ExportOptions, session: Callable[[], SessionAccess]
) -> int:
    """Export and report; 1 if something of the log could not be exported. Raises CommandError."""
    try:
        manifest = asyncio.run(export_log(brokers, storage, options, session))
    except KeyboardInterrupt:
        _print_notice(
            f"Interrupted. Finish the export with `parley log export --to {storage} --continue`."
        )
        raise
    return _report(storage, manifest)


def _report(storage: Storage, manifest: Manifest) -> int:
    size = sum(file.bytes for file in manifest.files)
    print(
        f"{storage} has {manifest.events:,} events in {len(manifest.files):,} files "
        f"({size / 1e6:,.1f} MB)."
    )
    problems = 0
    for channel, state in manifest.streams.items():
        if state.repeats:
            print(f"{channel}: {state.repeats:,} repeats were left out.")
        for sentence in _problems(channel, state):
            problems += 1
            _print_notice(sentence)
    return 1 if problems else 0


def _problems(channel: str, state: StreamState) -> list[str]:
    sentences = []
    if state.undecodable.count:
        first = state.undecodable.first[0]
        sentences.append(
            f"{channel}: {state.undecodable.count:,} records are no events and were left out, the "
            f"first one at {first.partition}:{first.offset}: {first.error}."
        )
    if state.forked:
        session, sequence = next(iter(state.forked.items()))
        sentences.append(
            f"{channel}: the event store has forked in {len(state.forked):,} sessions, whose later "
            f"events were left out: {session} from {sequence} on. See `parley log verify`."
        )
    if state.deferred:
        event = state.deferred[0]
        sentences.append(
            f"{channel}: {len(state.deferred):,} events wait for earlier ones that the log lacks, "
            f"such as {event.partition}:{event.offset}. `parley log restore` publishes them."
        )
    if state.unopened_fields:
        sentences.append(
            f"{channel}: {state.unopened_fields:,} sealed fields could not be opened and are null."
        )
    return sentences


def _print_notice(line: str) -> None:
    print(line, file=sys.stderr)
