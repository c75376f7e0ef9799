"""Entry point: `python -m benchmarks [NAME …]` runs the named benchmarks, or all of them."""

import argparse
from importlib import import_module

import uvloop

# Each is a module `benchmarks.<folder>.<name>`.
FOLDERS = {
    "events": ("append", "cold_session", "export", "outbox", "projection", "rebuild", "rewrap"),
    "overload": ("bad_tokens", "flood", "limits", "loop_lag"),
    "reads": ("history", "read_cost", "read_your_writes", "search"),
    "stack": (
        *("idle_streams", "internal_call", "paced_streams", "safeguards", "stack", "start"),
        *("tls", "tracing", "turn_cost", "web"),
    ),
}
MODULES = {
    name: f"benchmarks.{folder}.{name}" for folder, names in FOLDERS.items() for name in names
}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Run benchmarks and print a table of results for each.",
    )
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"benchmark to run (default: all): {', '.join(MODULES)}",
    )
    for name in parser.parse_args().names or MODULES:
        if name not in MODULES:
            parser.error(f"unknown benchmark {name}; available: {', '.join(MODULES)}")
        print(f"{name} …", flush=True)
        uvloop.run(import_module(MODULES[name]).run())


if __name__ == "__main__":
    main()
