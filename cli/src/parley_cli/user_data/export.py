"""Run of `parley export`: streams the gateway's export to a file or to standard output."""

import argparse
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import httpx2

from parley_cli.errors import CommandError
from parley_cli.service_commands.gateway_client import (
    error_message,
    gateway_client,
    no_gateway_message,
)
from parley_cli.settings import ChatSettings, load
from parley_cli.stack.dev_tokens import development_token

TIMEOUT = httpx2.Timeout(30, connect=5)  # Seconds; also the longest gap between two chunks.
PROGRESS_INTERVAL_SECONDS = 2.0


def export(options: argparse.Namespace) -> int:
    """Raises InvalidSettings, CommandError."""
    settings = load(ChatSettings)
    token = development_token(settings, user=options.user, tenant=options.tenant, hours=1)
    try:
        with (
            gateway_client(settings, options.url, token, TIMEOUT) as client,
            _open_target(options.to) as target,
        ):
            size = _copy(client, options.format, target)
    except httpx2.ConnectError as error:
        raise CommandError(no_gateway_message(client, error)) from None
    except httpx2.TransportError:
        raise CommandError(
            "The connection was lost before the export was complete. Run it again."
        ) from None
    except BrokenPipeError:
        raise
    except OSError as error:
        raise CommandError(f"{options.to} cannot be written: {error.strerror}.") from None
    if options.to:
        print(f"Exported {size:,} bytes to {options.to}.", file=sys.stderr)
    return 0


@contextmanager
def _open_target(path: Path | None) -> Iterator[BinaryIO]:
    """A new file, readable only by its owner, that gets its name once it is complete."""
    if path is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    if path.exists():
        raise CommandError(f"{path} already exists: choose another file.")
    unfinished = path.with_name(f"{path.name}.part")
    unfinished.unlink(missing_ok=True)
    try:
        with os.fdopen(
            os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb"
        ) as file:
            yield file
        unfinished.rename(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _copy(client: httpx2.Client, export_format: str, target: BinaryIO) -> int:
    size, last_report = 0, time.monotonic()
    with client.stream("GET", "/v1/export", params={"format": export_format}) as response:
        if response.status_code != 200:
            response.read()
            raise CommandError(error_message(response))
        for chunk in response.iter_bytes():
            target.write(chunk)
            size += len(chunk)
            if time.monotonic() - last_report >= PROGRESS_INTERVAL_SECONDS:
                last_report = time.monotonic()
                print(f"Exported {size:,} bytes", file=sys.stderr)
    return size
