"""Asks the operator at the terminal to confirm."""

import sys


def is_confirmed(question: str) -> bool:
    """Without a terminal, or with an answer other than yes: False."""
    if not sys.stdin.isatty():
        print("Not a terminal: pass --yes to confirm.", file=sys.stderr)
        return False
    try:
        return input(f"{question} [yes/no] ").strip().lower() == "yes"
    except EOFError:
        return False
