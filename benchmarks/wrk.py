"""`wrk`, which loads a server over many connections in a closed loop: what it measured, read again.

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
class Measured:
    """Requests per second; latencies in seconds; `errors` in wrk's own words."""

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


async def wrk(url: str, *, connections: int, seconds: int, token: str) -> Measured:
    """One thread of it, for as many seconds."""
    process = await asyncio.create_subprocess_exec(
        "wrk",
        "--threads=1",
        f"--connections={connections}",
        f"--duration={seconds}s",
        f"--timeout={TIMEOUT_SECONDS}s",
        "--latency",
        f"--header=authorization: Bearer {token}",
        url,
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    return _measured(output.decode())


def _measured(output: str) -> Measured:
    rate = _RATE.search(output)
    if rate is None:
        raise SystemExit(f"wrk measured nothing:\n{output}")
    latency = {found[1]: float(found[2]) * _UNITS[found[3]] for found in _LATENCY.finditer(output)}
    errors = [line.strip() for line in _ERRORS.findall(output)]
    return Measured(float(rate[1]), latency["50"], latency["99"], errors)
