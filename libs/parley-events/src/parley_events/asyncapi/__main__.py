"""Command `python -m parley_events.asyncapi`: writes asyncapi.yaml, events.md and schemas/."""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from parley_events.asyncapi.document import asyncapi_yaml
from parley_events.asyncapi.examples import MissingMarkers, with_examples
from parley_events.asyncapi.json_schemas import incompatible_changes, json_schemas

DESCRIPTION = "Generate asyncapi.yaml, schemas/ and the examples in events.md from the models."

_REMEDY = "An event changes additively only: make a breaking change a new version of the event."


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m parley_events.asyncapi", description=DESCRIPTION
    )
    parser.add_argument(
        "--check", action="store_true", help="only compare; exit with 1 if a file differs"
    )
    parser.add_argument("folder", nargs="?", type=Path, default=Path("docs"))
    arguments = parser.parse_args()
    try:
        expected = _expected(arguments.folder)
        if incompatible := list(_incompatible(arguments.folder)):
            print(*incompatible, _REMEDY, sep="\n", file=sys.stderr)
            return 1
        differing = [path for path, text in expected.items() if _read(path) != text]
        if arguments.check:
            return _report(differing)
        for path in differing:
            path.parent.mkdir(exist_ok=True)
            path.write_text(expected[path], encoding="utf-8")
    except (MissingMarkers, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _expected(folder: Path) -> dict[Path, str]:
    page = folder / "events.md"
    return {
        folder / "asyncapi.yaml": asyncapi_yaml(),
        page: with_examples(page.read_text(encoding="utf-8")),
        **{_schema_path(folder, each): text for each, text in json_schemas().items()},
    }


def _incompatible(folder: Path) -> Iterator[str]:
    """A sentence for each change to a published schema that is not additive."""
    expected = json_schemas()
    for path in sorted((folder / "schemas").glob("*.json")):
        if (event_type := path.stem) not in expected:
            yield f"{event_type} was removed."
            continue
        published = json.loads(path.read_text(encoding="utf-8"))
        for change in incompatible_changes(published, json.loads(expected[event_type])):
            yield f"{event_type}: {change}."


def _schema_path(folder: Path, event_type: str) -> Path:
    return folder / "schemas" / f"{event_type}.json"


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


def _report(differing: list[Path]) -> int:
    if differing:
        names = " and ".join(map(str, differing))
        print(
            f"Out of date: {names}. Run `python -m parley_events.asyncapi`.",
            file=sys.stderr,
        )
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
