"""Runs the demo model on this machine's loopback address: `python -m parley_cli.demo_model`."""

import argparse
import os

import uvicorn

from parley_cli.demo_model.app import create_app

LOOPBACK = "127.0.0.1"
DELAY = "PARLEY_DEMO_MODEL_DELAY_MS"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m parley_cli.demo_model",
        description="Parley's offline demo model, OpenAI-compatible, on 127.0.0.1 only.",
        epilog=f"{DELAY}: milliseconds between streamed words, 0 to 10000 (default 15).",
    )
    parser.add_argument("--port", type=_port, default=8090, help="1 to 65535 (default 8090)")
    port: int = parser.parse_args().port
    app = create_app(_delay_seconds(os.environ.get(DELAY, "15")))
    # Streams still open a second after SIGTERM are cut: the whole stack has ten to end.
    uvicorn.run(app, host=LOOPBACK, port=port, access_log=False, timeout_graceful_shutdown=1)


def _port(text: str) -> int:
    if not (text.isdecimal() and 1 <= int(text) <= 65535):
        raise argparse.ArgumentTypeError("a port is a whole number from 1 to 65535")
    return int(text)


def _delay_seconds(text: str) -> float:
    if not (text.isdecimal() and int(text) <= 10_000):
        raise SystemExit(f"{DELAY} must be whole milliseconds from 0 to 10000, such as 15.")
    return int(text) / 1000


if __name__ == "__main__":
    main()
