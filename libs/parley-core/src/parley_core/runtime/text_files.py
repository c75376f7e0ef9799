"""Reads the small files that settings name: secrets, and configuration in YAML."""

from importlib.resources.abc import Traversable
from pathlib import Path

MAX_BYTES = 1024 * 1024
MAX_SECRET_BYTES = 64 * 1024


class InvalidFile(Exception):
    """The reason why the file is unusable, to end a sentence with; it never quotes the file."""


def read_bytes(file: Path | Traversable, max_bytes: int = MAX_BYTES) -> bytes:
    """Raises InvalidFile."""
    try:
        with file.open("rb") as opened:
            content: bytes = opened.read(max_bytes + 1)
    except OSError as error:
        raise InvalidFile(f"it cannot be read ({error.strerror})") from None
    if len(content) > max_bytes:
        raise InvalidFile(f"it is over {max_bytes} bytes")
    return content


def read_secret_file(path: Path) -> str:
    """Return the text without line breaks at its end. Raises InvalidFile."""
    try:
        text = read_bytes(path, MAX_SECRET_BYTES).decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise InvalidFile("it is not UTF-8 text") from None
    if not text:
        raise InvalidFile("it is empty")
    return text
