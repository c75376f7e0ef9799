"""Results of a query as a table for people, or as CSV, JSON or Parquet for programs."""

import csv
import json
import math
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import IO, Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table
from rich.text import Text

from parley_cli.errors import CommandError

ResultFormat = Literal["table", "csv", "json", "parquet"]
MAX_TABLE_ROWS = 200
# A table in a pipe is not cut to the width of a terminal.
_PIPE_COLUMNS = 10_000


def print_result(
    result: "pa.RecordBatchReader", result_format: ResultFormat, file: Path | None
) -> None:
    """Write the result to the file, which appears when it is complete, or to standard output.

    Raises CommandError, and what reading the result raises.
    """
    if result_format == "parquet" and file is None and sys.stdout.isatty():
        raise CommandError("Parquet is not for a terminal: name a file with --to.")
    with open_output(file) as output:
        match result_format:
            case "table":
                _write_table(result, output, None if file else shutil.get_terminal_size().columns)
            case "csv":
                _write_csv(result, output)
            case "json":
                _write_json(result, output)
            case "parquet":
                _write_parquet(result, output)


@contextmanager
def open_output(file: Path | None) -> Iterator[IO[bytes]]:
    """The file, which appears when it is complete, or standard output. Raises CommandError."""
    if file is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    partial = file.with_name(f"{file.name}.partial")
    try:
        with partial.open("wb") as output:
            yield output
        partial.replace(file)
    except OSError as error:
        raise CommandError(f"{file} cannot be written: {error.strerror}.") from error
    finally:
        partial.unlink(missing_ok=True)


def rows_of(result: "pa.RecordBatchReader") -> Iterator[Mapping[str, Any]]:
    for batch in result:
        yield from batch.to_pylist()


def _write_table(result: "pa.RecordBatchReader", output: IO[bytes], columns: int | None) -> None:
    names = result.schema.names
    if not names:
        return
    table = Table(header_style="bold")
    for name, kind in zip(names, result.schema.types, strict=True):
        table.add_column(Text(name), justify="right" if is_number(kind) else "left")
    count = 0
    for row in rows_of(result):
        count += 1
        if count <= MAX_TABLE_ROWS:
            table.add_row(*(Text(text_of(value)) for value in row.values()))
    width = columns if columns and sys.stdout.isatty() else _PIPE_COLUMNS
    console = Console(width=width)
    with console.capture() as captured:
        console.print(table)
        if count > MAX_TABLE_ROWS:
            console.print(
                f"{MAX_TABLE_ROWS} of {count:,} rows; --format csv, json or parquet has all."
            )
    output.write(captured.get().encode())


def _write_csv(result: "pa.RecordBatchReader", output: IO[bytes]) -> None:
    writer = csv.writer(_TextOutput(output))
    writer.writerow(result.schema.names)
    for row in rows_of(result):
        writer.writerow([_csv_value(value) for value in row.values()])


def _csv_value(value: Any) -> str:
    # In full: a float of a table is rounded.
    return repr(value) if isinstance(value, float) else text_of(value)


def _write_json(result: "pa.RecordBatchReader", output: IO[bytes]) -> None:
    """An array with a row on each line."""
    output.write(b"[")
    separator = b"\n"
    for row in rows_of(result):
        output.write(separator + _json(_finite(row)).encode())
        separator = b",\n"
    output.write(b"\n]\n")


def _write_parquet(result: "pa.RecordBatchReader", output: IO[bytes]) -> None:
    with pq.ParquetWriter(output, result.schema, compression="zstd") as writer:
        for batch in result:
            writer.write_batch(batch)


class _TextOutput:
    def __init__(self, output: IO[bytes]) -> None:
        self._output = output

    def write(self, text: str) -> None:
        self._output.write(text.encode())


def text_of(value: Any) -> str:
    """A value in a table; null is an empty text."""
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case float():
            return f"{value:.6g}"
        case datetime() | date():
            return _time_text(value)
        case dict() | list():
            return _json(value)
        case _:
            return str(value)


def _json(value: Any) -> str:
    return json.dumps(value, default=_json_value, ensure_ascii=False)


def _finite(value: Any) -> Any:
    """The value with null for NaN and infinite numbers, which JSON does not have."""
    match value:
        case float():
            return value if math.isfinite(value) else None
        case dict():
            return {name: _finite(each) for name, each in value.items()}
        case list():
            return [_finite(each) for each in value]
        case _:
            return value


def _json_value(value: Any) -> Any:
    match value:
        case datetime() | date():
            return _time_text(value)
        case Decimal():
            return int(value) if value == value.to_integral_value() else float(value)
        case _:
            return str(value)


def _time_text(value: datetime | date) -> str:
    return value.isoformat().replace("+00:00", "Z")


def is_number(kind: Any) -> bool:
    return bool(
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    )
