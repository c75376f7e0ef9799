"""Reads YAML configuration files and validates them against a msgspec type."""

import re
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml

from parley_core.runtime.text_files import InvalidFile, read_bytes

Loaded = TypeVar("Loaded")

# How msgspec names the place of an error: "… - at `$.issuers[0].name`".
_PLACE = re.compile(r" - at `\$([^`]*)`")
_STEP = re.compile(r"\.(\w+)|\[(\d+)\]|(.)")


def read_yaml(file: Path | Traversable, kind: type[Loaded]) -> Loaded:
    """Return the content of the file as the msgspec type `kind`. Raises InvalidFile.

    The reason ends with a line of the file.
    """
    return parse_yaml(read_bytes(file), kind)


def parse_yaml(content: bytes, kind: type[Loaded]) -> Loaded:
    """Like `read_yaml`, for what was read already."""
    root = None
    try:
        loader = yaml.SafeLoader(content)
        try:
            root = loader.get_single_node()
            _check_keys(root, set())
            return msgspec.convert(loader.construct_document(root) if root else None, kind)
        finally:
            loader.dispose()
    except msgspec.ValidationError as error:
        raise InvalidFile(f"{error} (line {_line(root, str(error))})") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        # Only the line number: the parser's own message quotes the file.
        raise InvalidFile(
            "it is not valid YAML" + (f" (line {mark.line + 1})" if mark else "")
        ) from None


def _check_keys(node: Any, checked: set[int]) -> None:
    """Raises InvalidFile for a key that is given twice, of which the parser would take the last."""
    if node is None or id(node) in checked:
        return
    checked.add(id(node))
    if isinstance(node, yaml.MappingNode):
        names: set[tuple[str, str]] = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                name = (key.tag, key.value)
                if name in names:
                    line = key.start_mark.line + 1
                    raise InvalidFile(f"`{key.value}` is given twice (line {line})")
                names.add(name)
            _check_keys(value, checked)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _check_keys(item, checked)


def _line(node: Any, message: str) -> int:
    """The line of the value that a message of msgspec names, or of what surrounds it."""
    line = node.start_mark.line if node else 0
    if place := _PLACE.search(message):
        for name, index, other in _STEP.findall(place[1]):
            node, line = _step(node, line, name, int(index) if index else None)
            if other or node is None:
                break
    if node is not None and (unknown := re.search(r"unknown field `([^`]*)`", message)):
        _, line = _step(node, line, unknown[1], None)
    return int(line) + 1


def _step(node: Any, line: int, name: str, index: int | None) -> tuple[Any, int]:
    """The node below this one and its line; None when it cannot be found."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == name:
                return value, key.start_mark.line
    elif isinstance(node, yaml.SequenceNode) and index is not None and index < len(node.value):
        return node.value[index], node.value[index].start_mark.line
    return None, line
