"""`python -m parley_events.asyncapi [--check] [FOLDER]`: docs/asyncapi.yaml and docs/events.md."""

import argparse
import sys
from pathlib import Path

from parley_events.asyncapi.document import asyncapi_yaml
from parley_events.asyncapi.examples import NoPlace, with_examples

DESCRIPTION = "Write asyncapi.yaml, and the examples in events.md, from the event models."


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m parley_events.asyncapi", description=DESCRIPTION
    )
    parser.add_argument("--check", action="store_true", help="only compare; 1 when one differs")
    parser.add_argument("folder", nargs="?", type=Path, default=Path("docs"))
    chosen = parser.parse_args()
    try:
        wanted = _wanted(chosen.folder)
        differing = [path for path, text in wanted.items() if _read(path) != text]
        if chosen.check:
            return _tell(differing)
        for path in differing:
            path.write_text(wanted[path], encoding="utf-8")
    except (NoPlace, OSError) as trouble:
        print(trouble, file=sys.stderr)
        return 1
    return 0


def _wanted(folder: Path) -> dict[Path, str]:
    page = folder / "events.md"
    return {
        folder / "asyncapi.yaml": asyncapi_yaml(),
        page: with_examples(page.read_text(encoding="utf-8")),
    }


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


def _tell(differing: list[Path]) -> int:
    if differing:
        names = " and ".join(map(str, differing))
        print(
            f"Not as parley_events.session has it: {names}. `python -m parley_events.asyncapi` "
            "writes what belongs there.",
            file=sys.stderr,
        )
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
