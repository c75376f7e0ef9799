"""Run of `parley log sql`: opens an export, or makes one of the log, and answers questions."""

import asyncio
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from parley_cli.errors import CommandError
from parley_cli.log.dataset.manifest import Manifest, Selection, load_manifest
from parley_cli.log.dataset.storage_location import Storage, storage_at
from parley_cli.log.export.command import ExportOptions, export_log
from parley_cli.log.sql.as_of import AsOf
from parley_cli.log.sql.charts import PlotKind
from parley_cli.log.sql.plots import plot
from parley_cli.log.sql.prompt import read_statements
from parley_cli.log.sql.query_session import QuerySession, query_errors, query_session
from parley_cli.log.sql.result_formats import ResultFormat, print_result
from parley_core.log import Brokers


@dataclass(frozen=True)
class QueryOptions:
    """`query` None: from standard input, or from a prompt on a terminal."""

    query: str | None
    export: str | None
    as_of: AsOf | None
    result_format: ResultFormat
    plot: PlotKind | None
    file: Path | None


def run_sql(options: QueryOptions, brokers: Callable[[], Brokers]) -> int:
    """`brokers` is called if there is no export. Raises CommandError."""
    with (
        _export(options, brokers) as (storage, manifest),
        query_session(storage, manifest, options.as_of) as session,
    ):
        if options.query is not None:
            _answer(session, options.query, options)
        elif sys.stdin.isatty():
            _prompt(session, options)
        else:
            _answer(session, sys.stdin.read(), options)
    return 0


@contextmanager
def _export(
    options: QueryOptions, brokers: Callable[[], Brokers]
) -> Iterator[tuple[Storage, Manifest]]:
    if options.export is not None:
        storage = storage_at(options.export)
        yield storage, load_manifest(storage)
        return
    with tempfile.TemporaryDirectory(prefix="parley-log-") as folder:
        storage = storage_at(folder)
        exported = export_log(brokers(), storage, ExportOptions(Selection()))
        yield storage, asyncio.run(exported)


def _answer(session: QuerySession, query: str, options: QueryOptions) -> None:
    result = session.run(query)
    with query_errors():
        if options.plot:
            plot(result, options.plot, options.file)
        else:
            print_result(result, options.result_format, options.file)


def _prompt(session: QuerySession, options: QueryOptions) -> None:
    """Answer until the end of input; a failed query is reported, and the next one read."""
    for statement in read_statements():
        try:
            _answer(session, statement, options)
        except CommandError as error:
            print(error, file=sys.stderr)
        except KeyboardInterrupt:
            print("Interrupted.", file=sys.stderr)
