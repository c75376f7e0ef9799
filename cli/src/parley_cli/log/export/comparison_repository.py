"""Compares the events of two exports with DuckDB, which spills to disk what exceeds memory."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import duckdb

from parley_cli.errors import CommandError
from parley_cli.log.dataset.event_columns import event_schema, sealed_columns
from parley_cli.log.dataset.manifest import Manifest
from parley_cli.log.dataset.storage_location import Storage
from parley_cli.log.dataset.stored_events import paths_by_type, stored_events

MAX_LISTED = 10

_COUNT = """
SELECT count(*), coalesce(bit_xor(md5_number(concat_ws(' ', {stream}, sequence, id))), 0)
FROM {relation}
"""
_DIFFERENCES = """
WITH exported_only AS (SELECT {columns} FROM exported EXCEPT ALL SELECT {columns} FROM logged),
logged_only AS (SELECT {columns} FROM logged EXCEPT ALL SELECT {columns} FROM exported),
positions AS (
    SELECT log_partition, log_offset, count(*) FILTER (side = 'export') AS exported,
        count(*) FILTER (side = 'log') AS logged
    FROM (
        SELECT log_partition, log_offset, 'export' AS side FROM exported_only
        UNION ALL SELECT log_partition, log_offset, 'log' FROM logged_only
    ) GROUP BY ALL
)
SELECT *, count(*) OVER () FROM positions ORDER BY log_partition, log_offset LIMIT {limit}
"""
# The line of an event as a row; without its data, which an export with content has in clear text.
_LINES = """
SELECT json->>'$.subject' AS {stream}, (json->>'$.sequence')::INTEGER AS sequence,
    json->>'$.id' AS id, (json->>'$.partition')::INTEGER AS log_partition,
    (json->>'$.offset')::BIGINT AS log_offset, json->>'$.time' AS time, {data} AS data
FROM read_ndjson_objects({paths})
"""


@dataclass
class Comparison:
    """`checksum` is over ids and sequences; `differences` has sentences on the first ones."""

    exported: int = 0
    logged: int = 0
    checksum: int = 0
    difference_count: int = 0
    differences: list[str] = field(default_factory=list)


def compare_exports(
    exported: tuple[Storage, Manifest], logged: tuple[Storage, Manifest]
) -> Comparison:
    """Compare an export with one made of the log now, with sealed content. Raises CommandError."""
    with_content = exported[1].selection.content
    types = sorted({*paths_by_type(exported[1]), *paths_by_type(logged[1])})
    comparison = Comparison()
    with (
        tempfile.TemporaryDirectory(prefix="parley-verify-") as spilled,
        duckdb.connect(
            config={"autoinstall_known_extensions": "false", "temp_directory": spilled}
        ) as connection,
    ):
        try:
            for event_type in types:
                _create(connection, "exported", exported, event_type, with_content)
                _create(connection, "logged", logged, event_type, with_content)
                _compare(connection, event_type, with_content, comparison)
        except duckdb.Error as error:
            raise CommandError(f"The export cannot be compared: {error}") from error
    return comparison


def _create(
    connection: Any,
    name: str,
    export: tuple[Storage, Manifest],
    event_type: str,
    with_content: bool,
) -> None:
    storage, manifest = export
    if manifest.selection.file_format != "ndjson":
        connection.register(name, stored_events(storage, manifest, event_type))
        return
    if storage.filesystem.type_name != "local":
        raise CommandError(
            f"The NDJSON in {storage} cannot be compared with the log: copy it into a folder."
        )
    paths = paths_by_type(manifest).get(event_type, ())
    files = [f"{storage.root}/{path}" for path in paths]
    connection.execute(
        f"CREATE OR REPLACE VIEW {name} AS "
        + _lines(event_type, files, "NULL" if with_content else "json->>'$.data'")
    )


def _lines(event_type: str, files: Sequence[str], data: str) -> str:
    quoted = ", ".join("'" + file.replace("'", "''") + "'" for file in files)
    lines = _LINES.format(stream=_stream_id(event_type), data=data, paths=f"[{quoted}]")
    if files:
        return lines
    empty = _LINES.partition("FROM")[0].format(stream=_stream_id(event_type), data="NULL")
    return f"{empty} FROM (SELECT NULL::JSON AS json) WHERE false"


def _compare(connection: Any, event_type: str, with_content: bool, comparison: Comparison) -> None:
    stream = _stream_id(event_type)
    counts = [
        connection.execute(_COUNT.format(stream=stream, relation=name)).fetchone()
        for name in ("exported", "logged")
    ]
    comparison.exported += counts[0][0]
    comparison.logged += counts[1][0]
    comparison.checksum ^= int(counts[0][1])
    described = connection.execute("DESCRIBE exported").fetchall()
    hidden = set(sealed_columns(event_schema(event_type))) if with_content else set()
    columns = ", ".join(f'"{name}"' for name, *_ in described if name not in hidden)
    rows = connection.execute(_DIFFERENCES.format(columns=columns, limit=MAX_LISTED)).fetchall()
    for partition, offset, in_export, in_log, _ in rows:
        where = "differs" if in_export and in_log else "is only in the log"
        if in_export and not in_log:
            where = "is only in the export"
        comparison.differences.append(f"The {event_type} at {partition}:{offset} {where}.")
    comparison.difference_count += rows[0][-1] if rows else 0


def _stream_id(event_type: str) -> str:
    return str(event_schema(event_type).names[1])
