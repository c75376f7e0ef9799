"""A YAML file of settings, read whole and checked against its form."""

from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TypeVar

import msgspec
import yaml

MOST_BYTES = 1024 * 1024

Form = TypeVar("Form")


class InvalidFile(Exception):
    """Why the file cannot be used, for the end of a sentence; never quotes the file."""


def read_yaml(file: Path | Traversable, form: type[Form]) -> Form:
    """The file's content as the msgspec Struct `form`. Raises InvalidFile."""
    try:
        with file.open("rb") as opened:
            content = opened.read(MOST_BYTES + 1)
    except OSError as error:
        raise InvalidFile(f"it cannot be read ({error.strerror})") from None
    if len(content) > MOST_BYTES:
        raise InvalidFile(f"it is over {MOST_BYTES} bytes")
    try:
        return msgspec.convert(yaml.safe_load(content), form)
    except msgspec.ValidationError as error:
        raise InvalidFile(str(error)) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        # The line alone: the parser's own sentence quotes the file.
        raise InvalidFile("it is no YAML" + (f" (line {mark.line + 1})" if mark else "")) from None
