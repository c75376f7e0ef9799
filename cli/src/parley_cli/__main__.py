"""Entry point of the `parley` command."""

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    try:
        # Imported here so that a Ctrl-C while modules load also ends without a traceback.
        from parley_cli.main import run

        return run(arguments)
    except KeyboardInterrupt:
        if sys.stderr.isatty():
            # The shell's prompt would follow the ^C on the same line.
            print(file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
