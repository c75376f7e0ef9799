"""A DuckDB session in memory with the views over an export."""

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import duckdb
import pyarrow as pa

from parley_cli.errors import CommandError
from parley_cli.log.dataset.event_columns import stream_of
from parley_cli.log.dataset.manifest import SESSIONS, Manifest
from parley_cli.log.dataset.storage_location import Storage
from parley_cli.log.dataset.stored_events import paths_by_type, stored_events
from parley_cli.log.sql.as_of import AsOf
from parley_cli.log.sql.views_sql import (
    EVENT_TYPES,
    READY_VIEWS,
    VIEWS,
    event_view,
    events_view,
)
from parley_events.asyncapi.streams import STREAMS

# Begins the names of the relations below the views.
_FILES = "files of "
_KIND_OF_ERROR = re.compile(r"^[A-Z][A-Za-z ]+ Error: ")


class QueryFailed(CommandError):
    """DuckDB rejected the query or could not run it; the message is a sentence."""


class QuerySession:
    """Runs statements one after the other; the result of the last one is read in batches."""

    def __init__(self, connection: "duckdb.DuckDBPyConnection") -> None:
        self._connection = connection

    def run(self, statement: str) -> "pa.RecordBatchReader":
        """The result in batches. Raises QueryFailed, also while the batches are read."""
        with query_errors():
            result = self._connection.sql(statement)
            if result is None:
                return pa.RecordBatchReader.from_batches(pa.schema([]), [])
            return result.to_arrow_reader(10_000)


@contextmanager
def query_errors() -> Iterator[None]:
    """Turn an error of DuckDB into a sentence."""
    try:
        yield
    except (duckdb.Error, pa.ArrowException) as error:
        message = _KIND_OF_ERROR.sub("", str(error)).strip()
        if _FILES in message:
            raise QueryFailed(
                f"The files of the export cannot be read: {message}\n`parley log verify --export` "
                "lists what is missing or damaged."
            ) from None
        raise QueryFailed(
            f"The query failed: {message}\nThe views are {', '.join(READY_VIEWS)}, and one per "
            "event type such as reply_completed; `DESCRIBE sessions` lists the columns of one."
        ) from None


@contextmanager
def query_session(
    storage: Storage, manifest: Manifest, as_of: AsOf | None
) -> Iterator[QuerySession]:
    """Raises CommandError for an export that cannot be queried, or not as of that moment."""
    if manifest.selection.file_format == "ndjson":
        raise CommandError(
            f"The export in {storage} is NDJSON: export with --format parquet to query it."
        )
    if as_of:
        _require_positions(as_of, manifest)
    with (
        tempfile.TemporaryDirectory(prefix="parley-sql-") as spilled,
        duckdb.connect(
            config={
                "autoinstall_known_extensions": "false",
                "temp_directory": spilled,
                "TimeZone": "UTC",
            }
        ) as connection,
    ):
        # DuckDB would write the progress bar to standard output.
        connection.execute("SET enable_progress_bar = false")
        _create_views(connection, storage, manifest, as_of)
        yield QuerySession(connection)


def _create_views(
    connection: Any, storage: Storage, manifest: Manifest, as_of: AsOf | None
) -> None:
    unknown = [each for each in paths_by_type(manifest) if each not in EVENT_TYPES]
    with query_errors():
        for event_type in (*EVENT_TYPES, *unknown):
            relation = f"{_FILES}{event_type}"
            connection.register(relation, stored_events(storage, manifest, event_type))
            # Positions are those of the topic of sessions.
            selects = as_of and (as_of.time or stream_of(event_type) is STREAMS[0])
            condition = as_of.condition() if as_of and selects else "true"
            connection.execute(event_view(event_type, relation, condition))
        connection.execute(events_view([u for u in unknown if stream_of(u) is STREAMS[0]]))
        for view in VIEWS:
            connection.execute(view)


def _require_positions(as_of: AsOf, manifest: Manifest) -> None:
    if as_of.positions is None:
        return
    state = manifest.streams.get(SESSIONS)
    exported = state.positions if state else {}
    for partition, offset in as_of.positions.items():
        if offset > exported.get(partition, 0):
            raise CommandError(
                f"The export ends at {partition}:{exported.get(partition, 0)}, before "
                f"{partition}:{offset}: append what is new with `parley log export --continue`."
            )
