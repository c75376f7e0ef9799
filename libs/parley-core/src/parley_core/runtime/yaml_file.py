"""Reads YAML configuration files and validates them against a msgspec type."""

from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TypeVar

import msgspec
import yaml

MAX_BYTES = 1024 * 1024

Loaded = TypeVar("Loaded")


class InvalidFile(Exception):
    """The reason why the file is unusable, to end a sentence with; it never quotes the file."""


def read_yaml(file: Path | Traversable, kind: type[Loaded]) -> Loaded:
    """Return the content of the file as the msgspec type `kind`. Raises InvalidFile."""
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_BYTES + 1)
    except OSError as error:
        raise InvalidFile(f"it cannot be read ({error.strerror})") from None
    if len(content) > MAX_BYTES:
        raise InvalidFile(f"it is over {MAX_BYTES} bytes")
    try:
        return msgspec.convert(yaml.safe_load(content), kind)
    except msgspec.ValidationError as error:
        raise InvalidFile(str(error)) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        # Only the line number: the parser's own message quotes the file.
        raise InvalidFile(
            "it is not valid YAML" + (f" (line {mark.line + 1})" if mark else "")
        ) from None
