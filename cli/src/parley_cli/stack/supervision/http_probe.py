"""HTTP probe of a process on this machine."""

import asyncio
import http.client

MAX_BODY_BYTES = 64 * 1024


async def get(address: str, path: str, timeout: float = 2) -> tuple[int, bytes] | None:
    """Status and body; None if no HTTP response arrives within the timeout."""
    try:
        return await asyncio.wait_for(asyncio.to_thread(_get, address, path, timeout), timeout)
    except (OSError, TimeoutError, http.client.HTTPException):
        return None


def _get(address: str, path: str, timeout: float) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(address, timeout=timeout)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read(MAX_BODY_BYTES)
    finally:
        connection.close()
