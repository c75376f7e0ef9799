"""`python -m benchmarks [NAME …]`: measures and prints tables; without names, all of them."""

import argparse
from importlib import import_module

import uvloop

NAMES = (
    "append",
    "history",
    "idle_streams",
    "outbox",
    "paced_streams",
    "projection",
    "rebuild",
    "search",
    "stack",
    "start",
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}")
    for name in parser.parse_args().names or NAMES:
        if name not in NAMES:
            parser.error(f"{name} is none of {', '.join(NAMES)}")
        print(f"{name} …", flush=True)
        uvloop.run(import_module(f"benchmarks.{name}").run())


if __name__ == "__main__":
    main()
