"""Reads YAML configuration files and validates them against a msgspec type."""

from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TypeVar

import msgspec
import yaml

from parley_core.runtime.text_files import InvalidFile, read_bytes

Loaded = TypeVar("Loaded")


def read_yaml(file: Path | Traversable, kind: type[Loaded]) -> Loaded:
    """Return the content of the file as the msgspec type `kind`. Raises InvalidFile."""
    content = read_bytes(file)
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
