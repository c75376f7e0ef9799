"""Load generator `wrk`: a closed loop over many connections, with its output parsed.

Source: https://github.com/wg/wrk
"""

import asyncio
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass

TIMEOUT_SECONDS = 10

_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}
_LATENCY = re.compile(r"^\s+(50|99)%\s+([\d.]+)(us|ms|s|m)\s*$", re.MULTILINE)
_RATE = re.compile(r"^Requests/sec:\s+([\d.]+)$", re.MULTILINE)
_ERRORS = re.compile(r"^\s*(?:Socket errors: .*|Non-2xx or 3xx responses: \d+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class LoadResult:
    """Requests per second; latencies in seconds; `errors` as printed by wrk."""

    rate: float
    p50: float
    p99: float
    errors: Sequence[str]


def require_wrk() -> None:
    """Raises SystemExit."""
    if shutil.which("wrk") is None:
        raise SystemExit(
            "This benchmark needs wrk on the PATH: `apt-get install wrk`, or `brew install wrk`."
        )


async def wrk(url: str, *headers: str, connections: int, seconds: int, token: str) -> LoadResult:
    """Run wrk with one thread, and with further headers."""
    process = await asyncio.create_subprocess_exec(
        "wrk",
        "--threads=1",
        f"--connections={connections}",
        f"--duration={seconds}s",
        f"--timeout={TIMEOUT_SECONDS}s",
        "--latency",
        f"--header=authorization: Bearer {token}",
        *(f"--header={header}" for header in headers),
        url,
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    return _parse(output.decode())


def _parse(output: str) -> LoadResult:
    rate = _RATE.search(output)
    if rate is None:
        raise SystemExit(f"wrk printed no request rate:\n{output}")
    latency = {match[1]: float(match[2]) * _UNITS[match[3]] for match in _LATENCY.finditer(output)}
    errors = [line.strip() for line in _ERRORS.findall(output)]
    return LoadResult(float(rate[1]), latency["50"], latency["99"], errors)
