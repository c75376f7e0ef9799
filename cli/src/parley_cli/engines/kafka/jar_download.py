"""Downloads jars from a Maven repository; each gets its name once it is complete and verified."""

import asyncio
import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx2

from parley_cli.engines.errors import EngineError
from parley_cli.engines.kafka.pinned_jars import Jar

MAX_CONCURRENT_DOWNLOADS = 8
MAX_ATTEMPTS = 3
TIMEOUT = httpx2.Timeout(30, connect=10)
# The pinned sizes and checksums are those of the jars themselves.
HEADERS = {"accept-encoding": "identity"}


class _Rejected(Exception):
    """The repository sent something else than the pinned jar."""


async def download_jars(
    jars: Sequence[Jar], repository: str, folder: Path, on_progress: Callable[[int, int], None]
) -> None:
    """Download the jars into the folder. Raises EngineError.

    `on_progress` receives the downloaded bytes and the total.
    """
    total, received = sum(jar.bytes for jar in jars), dict.fromkeys(jars, 0)
    slots = asyncio.Semaphore(MAX_CONCURRENT_DOWNLOADS)
    client = httpx2.AsyncClient(timeout=TIMEOUT, headers=HEADERS, follow_redirects=True)

    async def download(jar: Jar) -> None:
        def on_bytes(count: int) -> None:
            received[jar] = count
            on_progress(sum(received.values()), total)

        async with slots:
            await _download(client, f"{repository}/{jar.path}", jar, folder / jar.path, on_bytes)

    on_progress(0, total)
    try:
        async with client, asyncio.TaskGroup() as group:
            for jar in jars:
                group.create_task(download(jar))
    except ExceptionGroup as errors:
        error = errors.exceptions[0]
        if not isinstance(error, httpx2.HTTPError | _Rejected):
            raise error from None
        reason = str(error) or type(error).__name__
        raise EngineError(f"The jars of Kafka cannot be downloaded: {reason}.") from error


async def _download(
    client: httpx2.AsyncClient, url: str, jar: Jar, file: Path, on_bytes: Callable[[int], None]
) -> None:
    for attempt in range(1, MAX_ATTEMPTS + 1):
        try:
            return await _download_once(client, url, jar, file, on_bytes)
        except httpx2.TransportError:
            if attempt == MAX_ATTEMPTS:
                raise


async def _download_once(
    client: httpx2.AsyncClient, url: str, jar: Jar, file: Path, on_bytes: Callable[[int], None]
) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_name(f"{file.name}.new")
    digest, count = hashlib.sha256(), 0
    async with client.stream("GET", url) as response:
        if response.status_code != 200:
            raise _Rejected(f"{url} answered {response.status_code}")
        with unfinished.open("wb") as written:
            async for chunk in response.aiter_raw():
                digest.update(chunk)
                count += len(chunk)
                if count > jar.bytes:
                    break
                written.write(chunk)
                on_bytes(count)
            written.flush()
            os.fsync(written.fileno())
    if digest.hexdigest() != jar.sha256:
        raise _Rejected(f"{file.name} does not match its SHA-256 checksum")
    unfinished.rename(file)
