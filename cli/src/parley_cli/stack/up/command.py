"""Run of `parley up`: composes the stack, runs it until a signal, returns the exit code."""

import argparse
import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from parley_cli.engines import EngineError
from parley_cli.engines.ports import require_free
from parley_cli.errors import CommandError
from parley_cli.settings import load
from parley_cli.stack.chat_page import PageNotBuilt, build_folder, build_page
from parley_cli.stack.dev_tokens import development_token
from parley_cli.stack.program import parley_command
from parley_cli.stack.stack_settings import UpSettings
from parley_cli.stack.state_file import (
    RunningStack,
    StackLock,
    remove_state_file,
    write_state_file,
)
from parley_cli.stack.supervision.process_group import ProcessGroup
from parley_cli.stack.token_defaults import DEFAULT_USER
from parley_cli.stack.up.composition import Composition, compose
from parley_cli.stack.up.console import Report, chat_command, data_variable, terminal
from parley_cli.stack.up.process_table import STOP_STAGE_TIMEOUTS, STOP_TIMEOUT_SECONDS

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def up(options: argparse.Namespace) -> int:
    """Raises InvalidSettings, CommandError."""
    report = Report(terminal())
    try:
        settings = load(UpSettings)
        data = _data_folder(settings.data)
        with StackLock(data), _warnings_reported(report):
            page = build_folder() if options.build_page else None
            return asyncio.run(_up(settings, data, page, report, options))
    except OSError as error:
        path = f" ({error.filename})" if error.filename else ""
        raise CommandError(f"`parley up` failed: {error.strerror or error}{path}.") from error
    finally:
        report.clear_status()


def _data_folder(folder: Path) -> Path:
    data = folder.resolve()
    try:
        data.mkdir(parents=True, exist_ok=True)
        (data / "logs").mkdir(exist_ok=True)
        (data / "logs" / "writable").touch()
        (data / "logs" / "writable").unlink()
    except OSError as error:
        not_a_folder = isinstance(error, FileExistsError | NotADirectoryError)
        reason = "a file has the same path" if not_a_folder else error.strerror
        raise EngineError(
            f"The data folder {data} cannot be used: {reason}. Set PARLEY_DATA to a writable "
            "folder."
        ) from error
    return data


async def _up(
    settings: UpSettings,
    data: Path,
    page: Path | None,
    report: Report,
    options: argparse.Namespace,
) -> int:
    started_at = time.monotonic()
    _require_gateway_port(settings.port)
    composition = await compose(
        settings,
        data,
        options.replicas,
        page,
        report.downloading,
        with_monitoring=options.monitoring,
        with_tls=options.tls,
    )
    processes = ProcessGroup(
        composition.members,
        composition.preparations,
        report,
        on_change=lambda: write_state_file(data, _running_stack(processes, composition)),
        after_start=composition.engines.record_aot_cache,
    )
    if settings.runs_demo_model:
        report.print_line(
            "Neither OPENAI_API_KEY nor OPENAI_BASE_URL is set: replies come from an offline "
            "demo model."
        )

    def on_started() -> None:
        report.started(composition.url, data, time.monotonic() - started_at)
        if composition.monitoring:
            report.monitoring(composition.monitoring.urls())
        authority = composition.authority_file
        if authority:
            report.authority(
                authority, parley_command("trust", environment=data_variable(settings))
            )
        if settings.oidc_issuers:
            report.print_line("Get a token from an issuer of PARLEY_OIDC_ISSUERS.")
            return
        token = development_token(settings, user=DEFAULT_USER)
        if page is not None:
            report.chat_page(composition.url, token)
        chat = chat_command(settings, token)
        report.commands(composition.url, token, chat, authority)

    building = asyncio.create_task(_build_page(page, report))
    try:
        await _run_until_signal(processes, on_started, report)
    finally:
        building.cancel()
        await asyncio.gather(building, return_exceptions=True)
        remove_state_file(data)
    return 0


async def _run_until_signal(
    processes: ProcessGroup, on_started: Callable[[], None], report: Report
) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()

    def on_signal() -> None:
        if stop.is_set():
            processes.kill()
        stop.set()

    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, on_signal)
    running = asyncio.create_task(processes.run(on_started))
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((running, stopping), return_when=asyncio.FIRST_COMPLETED)
        if stop.is_set():
            report.stopping()
    finally:
        stopping.cancel()
        running.cancel()
        outcome, _ = await asyncio.gather(running, stopping, return_exceptions=True)
        await processes.stop(STOP_STAGE_TIMEOUTS, STOP_TIMEOUT_SECONDS)
    if isinstance(outcome, Exception):
        raise outcome


async def _build_page(page: Path | None, report: Report) -> None:
    """Runs beside the start of the stack, which does not need the page."""
    if page is None:
        return
    try:
        await build_page(page, report.print_line)
    except PageNotBuilt as error:
        report.warning(str(error))


def _require_gateway_port(port: int) -> None:
    try:
        require_free(port, "The gateway")
    except EngineError as error:
        raise EngineError(f"{error} Stop it, or set PARLEY_PORT to another port.") from None


def _running_stack(processes: ProcessGroup, composition: Composition) -> RunningStack:
    external = composition.engines.external_processes()
    return RunningStack(composition.url, [*external, *processes.running()])


class _ReportHandler(logging.Handler):
    """Prints log records of level WARNING and above through the report."""

    def __init__(self, report: Report) -> None:
        super().__init__(logging.WARNING)
        self._report = report

    def emit(self, record: logging.LogRecord) -> None:
        self._report.warning(record.getMessage())


@contextlib.contextmanager
def _warnings_reported(report: Report) -> Iterator[None]:
    handler, null_handler = _ReportHandler(report), logging.NullHandler()
    logging.getLogger("parley_cli").addHandler(handler)
    # Silences clients, which log errors while their server is still starting.
    logging.getLogger().addHandler(null_handler)
    try:
        yield
    finally:
        logging.getLogger("parley_cli").removeHandler(handler)
        logging.getLogger().removeHandler(null_handler)
