"""One small GET of a process on this machine, with nothing to import and nothing kept."""

import asyncio

LONGEST_ANSWER = 64 * 1024


async def get(address: str, path: str, timeout: float = 2) -> tuple[int, bytes] | None:
    """Status and body; None when nothing there answers HTTP within the timeout."""
    host, _, port = address.rpartition(":")
    try:
        async with asyncio.timeout(timeout):
            reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
            try:
                request = f"GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
                writer.write(request.encode())
                answer = await reader.read(LONGEST_ANSWER)
                while chunk := await reader.read(LONGEST_ANSWER):
                    answer = (answer + chunk)[:LONGEST_ANSWER]
            finally:
                writer.close()
        return _parsed(answer)
    except (OSError, TimeoutError, ValueError):
        return None


def _parsed(answer: bytes) -> tuple[int, bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    protocol, _, rest = head.partition(b" ")
    if not protocol.startswith(b"HTTP/"):
        raise ValueError("this is no HTTP answer")
    return int(rest[:3]), body
