"""Command `python -m parley_events.asyncapi`: writes docs/asyncapi.yaml and docs/events.md."""

import argparse
import sys
from pathlib import Path

from parley_events.asyncapi.document import asyncapi_yaml
from parley_events.asyncapi.examples import MissingMarkers, with_examples

DESCRIPTION = "Generate asyncapi.yaml and the examples in events.md from the event models."


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
        differing = [path for path, text in expected.items() if _read(path) != text]
        if arguments.check:
            return _report(differing)
        for path in differing:
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
    }


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
