"""Runs a module as `python -m` does, and ends without a word at a Ctrl-C while it is loaded."""

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
