"""Imports everything that code of Parley imports, so that a build in which a part is missing fails.

Imports inside functions count too, such as the client of AWS KMS or the exporter of traces.
"""

import ast
import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path

SERVICES = ("parley_gateway", "parley_session", "parley_inference", "parley_history")
PACKAGES = (*SERVICES, "parley_core", "parley_contracts", "parley_events")


def imported_by(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def main() -> None:
    for package in PACKAGES:
        paths = importlib.import_module(package).__path__
        for module in pkgutil.walk_packages(paths, f"{package}."):
            found = importlib.import_module(module.name)
            for name in imported_by(Path(found.__file__ or "").read_text()):
                importlib.import_module(name)


if __name__ == "__main__":
    main()
