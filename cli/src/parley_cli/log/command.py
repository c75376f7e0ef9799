"""Run of `parley log …` and `parley rebuild …`, from the parsed options to the exit code."""

import argparse
import asyncio
from collections.abc import Sequence

from parley_cli.errors import CommandError
from parley_cli.log.dataset.analysis_packages import require_analysis_packages
from parley_cli.service_commands.foreground import run_in_foreground
from parley_cli.service_commands.locations import StackLocations
from parley_cli.service_commands.offline_store import has_log, offline_log, offline_store
from parley_cli.service_commands.service_command import history_command, session_command, verify
from parley_cli.settings import load
from parley_cli.stack.stack_settings import OperationsSettings


def log(options: argparse.Namespace) -> int:
    """Raises InvalidSettings, CommandError."""
    settings = load(OperationsSettings)
    locations = StackLocations(settings)
    match options.log_command:
        case "tail":
            from parley_cli.log.tail.run import run_tail

            return run_tail(locations, options)
        case "export":
            return _export(locations, options)
        case "sql":
            return _sql(locations, options)
        case "generate":
            return _generate(locations, options)
        case "verify" if options.export:
            return _verify_export(locations, options)
        case "verify":
            return verify(locations)
        case "restore":
            return session_command(locations, "restore-log")
        case "reconcile":
            arguments = ["reconcile", *(["--dry-run"] if options.dry_run else [])]
            if locations.are_offline:
                return asyncio.run(_reconcile_offline(settings, arguments))
            return session_command(locations, *arguments)
        case _:
            return history_command(locations, "dead-letters", *options.rest)


def rebuild(options: argparse.Namespace) -> int:
    """Raises InvalidSettings, CommandError."""
    arguments = ["--workers", str(options.workers)] if options.workers else []
    arguments += ["--rollback"] if options.rollback else []
    arguments += ["--accept-differences"] if options.accept_differences else []
    return history_command(StackLocations(load(OperationsSettings)), "rebuild", *arguments)


async def _reconcile_offline(settings: OperationsSettings, arguments: Sequence[str]) -> int:
    """Reconcile the data folder of a stack that does not run. Raises CommandError."""
    if not has_log(settings):
        raise CommandError(
            f"{settings.data.resolve()} has no log: set PARLEY_KAFKA, or PARLEY_DATA to a folder "
            "that has one."
        )
    async with offline_store(settings) as store, offline_log(settings) as log:
        # Blocks the event loop, on which nothing else runs.
        return run_in_foreground(("parley_session", *arguments), {**store, **log})


def _export(locations: StackLocations, options: argparse.Namespace) -> int:
    require_analysis_packages()
    from parley_cli.log.dataset.manifest import Selection
    from parley_cli.log.dataset.storage_location import storage_at
    from parley_cli.log.export.command import ExportOptions, run_export

    selection = Selection(
        types=tuple(sorted(frozenset().union(*options.type))),
        since=options.since,
        until=options.until,
        starts=dict(options.starts),
        ends=dict(options.ends),
        content=options.content,
        file_format=options.format or "parquet",
    )
    given = None if options.resume and selection == Selection() else selection
    return run_export(
        locations.brokers(),
        storage_at(options.to),
        ExportOptions(given, options.resume),
        locations.session_access,
    )


def _sql(locations: StackLocations, options: argparse.Namespace) -> int:
    require_analysis_packages()
    from parley_cli.log.sql.command import QueryOptions, run_sql

    return run_sql(
        QueryOptions(
            options.query,
            options.export,
            options.as_of,
            options.format,
            options.plot,
            options.to,
        ),
        locations.brokers,
    )


def _generate(locations: StackLocations, options: argparse.Namespace) -> int:
    require_analysis_packages()
    from parley_cli.log.generation.command import generate
    from parley_cli.log.generation.stack_sessions import generate_into_stack

    if options.stack:
        if options.content:
            raise CommandError("--content is for --to: a stack seals the content it stores.")
        return generate_into_stack(locations, options.sessions, options.seed, days=options.days)
    return generate(
        options.to, options.sessions, options.seed, days=options.days, content=options.content
    )


def _verify_export(locations: StackLocations, options: argparse.Namespace) -> int:
    require_analysis_packages()
    from parley_cli.log.dataset.storage_location import storage_at
    from parley_cli.log.export.verify import verify_export

    return verify_export(locations.brokers(), storage_at(options.export))
