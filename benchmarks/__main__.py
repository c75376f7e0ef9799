"""Entry point: `python -m benchmarks [NAME …]` runs the named benchmarks, or all of them."""

import argparse
from importlib import import_module

import uvloop

NAMES = (
    "append",
    "bad_tokens",
    "cold_session",
    "export",
    "flood",
    "history",
    "idle_streams",
    "internal_call",
    "limits",
    "loop_lag",
    "outbox",
    "paced_streams",
    "projection",
    "read_cost",
    "read_your_writes",
    "rebuild",
    "rewrap",
    "safeguards",
    "search",
    "stack",
    "start",
    "tls",
    "tracing",
    "turn_cost",
    "web",
)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Run benchmarks and print a table of results for each.",
    )
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"benchmark to run (default: all): {', '.join(NAMES)}",
    )
    for name in parser.parse_args().names or NAMES:
        if name not in NAMES:
            parser.error(f"unknown benchmark {name}; available: {', '.join(NAMES)}")
        print(f"{name} …", flush=True)
        uvloop.run(import_module(f"benchmarks.{name}").run())


if __name__ == "__main__":
    main()
