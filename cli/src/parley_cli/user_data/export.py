"""Run of `parley export`: streams the gateway's export to a file or to standard output."""

import argparse
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import httpx2

from parley_cli.settings import ChatSettings, load
from parley_cli.stack.dev_tokens import development_token
from parley_cli.stack.state_file import gateway_url

TIMEOUT = httpx2.Timeout(30, connect=5)  # Seconds; also the longest gap between two chunks.
PROGRESS_INTERVAL_SECONDS = 2.0


class ExportFailed(Exception):
    """The message is a sentence for the user."""


def export(options: argparse.Namespace) -> int:
    """Raises InvalidSettings, SecretNotFound, SecretLost."""
    settings = load(ChatSettings)
    token = development_token(
        settings, user=options.user, tenant=options.tenant, now=datetime.now(UTC), hours=1
    )
    url = options.url or gateway_url(settings.data, settings.port)
    try:
        with (
            httpx2.Client(
                base_url=url,
                headers={"authorization": f"Bearer {token}"},
                timeout=TIMEOUT,
                # The machine's proxy is not for the gateway of a local stack.
                trust_env=options.url is not None,
            ) as client,
            _open_target(options.to) as target,
        ):
            size = _copy(client, options.format, target)
    except BrokenPipeError:
        # The reader closed the pipe. Redirect, so that the flush at exit does not fail as well.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (httpx2.InvalidURL, httpx2.UnsupportedProtocol) as error:
        return _fail(f"--url is not a valid URL: {error}.")
    except httpx2.ConnectError:
        return _fail(
            f"No gateway answers at {url}: start one with `parley up`, or pass --url for another."
        )
    except httpx2.TransportError:
        return _fail("The connection was lost before the export was complete. Run it again.")
    except ExportFailed as error:
        return _fail(str(error))
    except OSError as error:
        return _fail(f"{options.to} cannot be written: {error.strerror}.")
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
        raise ExportFailed(f"{path} already exists: choose another file.")
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
            raise ExportFailed(_error_message(response))
        for chunk in response.iter_bytes():
            target.write(chunk)
            size += len(chunk)
            if time.monotonic() - last_report >= PROGRESS_INTERVAL_SECONDS:
                last_report = time.monotonic()
                print(f"Exported {size:,} bytes", file=sys.stderr)
    return size


def _error_message(response: httpx2.Response) -> str:
    try:
        message = str(response.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        message = f"The gateway answered {response.status_code} {response.reason_phrase}."
    if response.status_code == 401:
        message += " Check that PARLEY_JWT_SECRET is the secret of this gateway."
    return message


def _fail(message: str) -> int:
    print(message, file=sys.stderr)
    return 1
