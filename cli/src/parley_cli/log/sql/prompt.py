"""The prompt of `parley log sql`: reads statements, with editing and history."""

import contextlib
from collections.abc import Iterator

from parley_cli.log.sql.views_sql import READY_VIEWS

with contextlib.suppress(ImportError):
    # Imported for its side effect: line editing and history in `input`.
    import readline  # noqa: F401

GREETING = (
    f"Views: {', '.join(READY_VIEWS)}, and one per event type. `DESCRIBE sessions;` lists columns, "
    "`SHOW TABLES;` all views. A statement ends with a semicolon; Ctrl-D ends the prompt."
)


def read_statements() -> Iterator[str]:
    """The statements typed, until the end of input. Ctrl-C discards what was typed of one."""
    print(GREETING)
    lines: list[str] = []
    while True:
        try:
            line = input("  ...> " if lines else "parley> ")
        except EOFError:
            print()
            return
        except KeyboardInterrupt:
            print()
            lines = []
            continue
        if line.strip():
            lines.append(line)
        if line.rstrip().endswith(";"):
            yield "\n".join(lines)
            lines = []
