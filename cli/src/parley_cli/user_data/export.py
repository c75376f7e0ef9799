"""The run of `parley export`: what the gateway answers, as it comes."""

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

TIMEOUT = httpx2.Timeout(30, connect=5)  # Seconds; between two parts of the answer, too.
SAID_EVERY = 2.0  # Seconds.


class ExportFailed(Exception):
    """The message is a sentence for whoever typed."""


def export(chosen: argparse.Namespace) -> int:
    """Raises InvalidSettings, SecretNotFound, SecretLost."""
    settings = load(ChatSettings)
    token = development_token(
        settings, user=chosen.user, tenant=chosen.tenant, now=datetime.now(UTC), hours=1
    )
    url = chosen.url or gateway_url(settings.data, settings.port)
    try:
        with (
            httpx2.Client(
                base_url=url,
                headers={"authorization": f"Bearer {token}"},
                timeout=TIMEOUT,
                # A proxy of this machine is not for what runs on it.
                trust_env=chosen.url is not None,
            ) as client,
            _target(chosen.to) as target,
        ):
            size = _copy(client, chosen.format, target)
    except BrokenPipeError:
        # Who reads has enough; nor may what is left be written at the exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (httpx2.InvalidURL, httpx2.UnsupportedProtocol) as wrong:
        return _refused(f"--url is wrong: {wrong}.")
    except httpx2.ConnectError:
        return _refused(f"Nothing answers at {url}: `parley up` starts it, --url names another.")
    except httpx2.TransportError:
        return _refused("The export broke off before its end: run it again.")
    except ExportFailed as failed:
        return _refused(str(failed))
    except OSError as error:
        return _refused(f"{chosen.to} cannot be written: {error.strerror}.")
    if chosen.to:
        print(f"Exported {size:,} bytes to {chosen.to}.", file=sys.stderr)
    return 0


@contextmanager
def _target(path: Path | None) -> Iterator[BinaryIO]:
    """A file that only its owner can read, and that is there once it is whole."""
    if path is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    if path.exists():
        raise ExportFailed(f"{path} is there already: name another file.")
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


def _copy(client: httpx2.Client, form: str, target: BinaryIO) -> int:
    size, said = 0, time.monotonic()
    with client.stream("GET", "/v1/export", params={"format": form}) as answer:
        if answer.status_code != 200:
            answer.read()
            raise ExportFailed(_reason(answer))
        for part in answer.iter_bytes():
            target.write(part)
            size += len(part)
            if time.monotonic() - said >= SAID_EVERY:
                said = time.monotonic()
                print(f"Exported {size:,} bytes", file=sys.stderr)
    return size


def _reason(answer: httpx2.Response) -> str:
    try:
        sentence = str(answer.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        sentence = f"The answer was {answer.status_code} {answer.reason_phrase}."
    if answer.status_code == 401:
        sentence += " Is PARLEY_JWT_SECRET that of this gateway?"
    return sentence


def _refused(why: str) -> int:
    print(why, file=sys.stderr)
    return 1
