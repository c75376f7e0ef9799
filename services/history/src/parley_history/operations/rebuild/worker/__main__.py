"""Entry point of a worker process: assignment on stdin, progress on stdout, errors on stderr."""

import asyncio
import gc
import logging
import os
import sys
from collections.abc import Callable

import msgspec

from parley_core.log import LogError, LogReader
from parley_core.runtime.safe_logging import configure_logging, log_unexpected_error
from parley_core.runtime.settings import load
from parley_core.storage.postgres_pool import FAST_KEEPALIVES
from parley_history.operations.rebuild.errors import RebuildAborted
from parley_history.operations.rebuild.settings import RebuildCommandSettings
from parley_history.operations.rebuild.worker.bulk_rows import RebuildTables
from parley_history.operations.rebuild.worker.messages import Assignment, Committed
from parley_history.operations.rebuild.worker.worker import JOIN_TIMEOUT_SECONDS, Worker
from parley_history.storage.database import connect
from parley_history.storage.database_errors import DATABASE_ERRORS

log = logging.getLogger(__name__)

# A commit lost in a crash of the server loses its positions too, so it is repeated.
_SERVER_SETTINGS = {**FAST_KEEPALIVES, "synchronous_commit": "off"}
# Objects live as long as their batch, so frequent collections only cost time.
_GC_THRESHOLDS = (500_000, 20, 20)


def main() -> int:
    # The coordinator shows stderr as the error message, so clients must not log there.
    configure_logging("history-rebuild")
    parent = os.getppid()

    def report(events: int) -> None:
        if os.getppid() != parent:
            raise RebuildAborted("The rebuild that started this worker has ended.")
        print(msgspec.json.encode(Committed(events)).decode(), flush=True)

    assignment = msgspec.json.decode(sys.stdin.buffer.read(), type=Assignment)
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
    try:
        asyncio.run(_work(load(RebuildCommandSettings), assignment, report))
    except (RebuildAborted, LogError) as error:
        print(error, file=sys.stderr)
    except DATABASE_ERRORS as error:
        # Only the class: the message of a database error may quote a row.
        name = type(error).__name__
        print(f"Database error: {name}. Run this command again to continue.", file=sys.stderr)
    except Exception as error:
        log_unexpected_error(log, "rebuild worker failed", error)
    else:
        return 0
    return 1


async def _work(
    settings: RebuildCommandSettings, assignment: Assignment, report: Callable[[int], None]
) -> None:
    connection = await connect(
        settings.database,
        "parley-rebuild",
        statement_timeout_seconds=None,
        server_settings=_SERVER_SETTINGS,
    )
    reader = LogReader(settings.kafka.brokers, settings.topic)
    tables = RebuildTables(bulk=assignment.bulk, park_failures=assignment.park_failures)
    batch_size = settings.rebuild.batch_size
    try:
        await reader.start(JOIN_TIMEOUT_SECONDS)
        worker = Worker(connection, reader, assignment.version, tables, batch_size, report)
        await worker.run_until(assignment.ends)
    finally:
        await reader.close()
        connection.terminate()


if __name__ == "__main__":
    sys.exit(main())
