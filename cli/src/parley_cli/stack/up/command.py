"""The run of `parley up`, from the settings to the exit code."""

import asyncio
import contextlib
import logging
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from parley_cli.engines import EngineError
from parley_cli.engines.ports import require_free
from parley_cli.settings import InvalidSettings, UpSettings, load
from parley_cli.stack.dev_tokens import DEFAULT_USER, development_token
from parley_cli.stack.secret_store import SecretLost
from parley_cli.stack.state_file import RunningStack, StackLock, remove_stack, write_stack
from parley_cli.stack.supervision.process_group import Stack
from parley_cli.stack.supervision.service_process import InvalidServiceSettings
from parley_cli.stack.up import process_table as layout
from parley_cli.stack.up.composition import Composition, compose
from parley_cli.stack.up.report import Report, terminal

TO_END = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def up(replicas: Mapping[str, int]) -> int:
    report = Report(terminal())
    try:
        settings = load(UpSettings)
        data = _data_folder(settings.data)
        with StackLock(data), _warnings_told(report):
            return asyncio.run(_up(settings, data, replicas, report))
    except (InvalidSettings, InvalidServiceSettings) as wrong:
        return _refused(wrong, 2)
    except (EngineError, SecretLost) as failed:
        return _refused(failed, 1)
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        return _refused(f"`parley up` cannot go on: {error.strerror or error}{where}.", 1)
    finally:
        report.quiet()


def _data_folder(folder: Path) -> Path:
    data = folder.resolve()
    try:
        data.mkdir(parents=True, exist_ok=True)
        (data / "logs").mkdir(exist_ok=True)
        (data / "logs" / "writable").touch()
        (data / "logs" / "writable").unlink()
    except OSError as error:
        on_path = isinstance(error, FileExistsError | NotADirectoryError)
        reason = "there is a file in its place" if on_path else error.strerror
        raise EngineError(
            f"The data folder {data} cannot be used: {reason}. Set PARLEY_DATA to a folder that "
            "can be written to."
        ) from error
    return data


async def _up(settings: UpSettings, data: Path, replicas: Mapping[str, int], report: Report) -> int:
    began = time.monotonic()
    _require_free_port(settings.port)
    composition = await compose(settings, data, replicas)
    stack = Stack(
        composition.members,
        composition.preparations,
        report,
        on_change=lambda: write_stack(data, _running(stack, composition)),
        afterwards=composition.engines.quicken_later_starts,
    )
    _greet(settings, composition, report)

    def on_started() -> None:
        token = None
        if not settings.jwks_url:
            token = development_token(settings, user=DEFAULT_USER, now=datetime.now(UTC))
        report.running(composition.url, token, data, time.monotonic() - began)

    try:
        await _until_told_to_end(stack, on_started, report)
    finally:
        remove_stack(data)
    return 0


async def _until_told_to_end(stack: Stack, on_started: Callable[[], None], report: Report) -> None:
    loop, end = asyncio.get_running_loop(), asyncio.Event()

    def on_signal() -> None:
        if end.is_set():
            stack.kill()
        end.set()

    for number in TO_END:
        loop.add_signal_handler(number, on_signal)
    running = asyncio.create_task(stack.run(on_started))
    told = asyncio.create_task(end.wait())
    try:
        await asyncio.wait((running, told), return_when=asyncio.FIRST_COMPLETED)
        if end.is_set():
            report.ending()
    finally:
        told.cancel()
        running.cancel()
        outcome, _ = await asyncio.gather(running, told, return_exceptions=True)
        await stack.stop(layout.STOP_STAGE_SECONDS, within=layout.STOP_SECONDS)
    if isinstance(outcome, Exception):
        raise outcome


def _require_free_port(port: int) -> None:
    try:
        require_free(port, "Parley")
    except EngineError as failed:
        raise EngineError(f"{failed} End it, or set PARLEY_PORT to another port.") from None


def _greet(settings: UpSettings, composition: Composition, report: Report) -> None:
    if composition.engines.fetches_jars:
        report.tell(
            "First start: Kafka's jars (44 MB) are fetched and checked; later starts have them."
        )
    if settings.runs_demo_model:
        report.tell(
            "Neither OPENAI_API_KEY nor OPENAI_BASE_URL is set: an offline demo model answers."
        )


def _running(stack: Stack, composition: Composition) -> RunningStack:
    return RunningStack(composition.url, [*composition.engines.given(), *stack.running()])


def _refused(why: object, code: int) -> int:
    print(why, file=sys.stderr)
    return code


class _Reported(logging.Handler):
    def __init__(self, report: Report) -> None:
        super().__init__(logging.WARNING)
        self._report = report

    def emit(self, record: logging.LogRecord) -> None:
        self._report.trouble(record.getMessage())


@contextlib.contextmanager
def _warnings_told(report: Report) -> Iterator[None]:
    own, others = _Reported(report), logging.NullHandler()
    logging.getLogger("parley_cli").addHandler(own)
    # What clients log of a server that is still starting is no news.
    logging.getLogger().addHandler(others)
    try:
        yield
    finally:
        logging.getLogger("parley_cli").removeHandler(own)
        logging.getLogger().removeHandler(others)
