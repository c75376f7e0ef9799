"""Runs a module like `python -m`, but a Ctrl-C during its import ends it without a traceback."""

import runpy
import sys


def main() -> int:
    del sys.argv[0]
    try:
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
