"""Entry point of the demo model: `python -m parley_cli.demo_model`."""

import argparse
import os

import uvicorn

from parley_cli.demo_model.app import create_app

LOOPBACK = "127.0.0.1"
DELAY_VARIABLE = "PARLEY_DEMO_MODEL_DELAY_MS"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m parley_cli.demo_model",
        description="OpenAI-compatible offline demo model of Parley.",
        epilog=f"{DELAY_VARIABLE}: milliseconds between streamed words, 0 to 10000 (default 15).",
    )
    parser.add_argument(
        "--port", type=_port, default=8090, help="port to listen on, 1 to 65535 (default 8090)"
    )
    parser.add_argument(
        "--host", default=LOOPBACK, help=f"address to listen on (default {LOOPBACK})"
    )
    arguments = parser.parse_args()
    app = create_app(_delay_seconds(os.environ.get(DELAY_VARIABLE, "15")))
    # Streams still open 1 s after SIGTERM are closed: the whole stack must end within 10 s.
    uvicorn.run(
        app,
        host=arguments.host,
        port=arguments.port,
        access_log=False,
        timeout_graceful_shutdown=1,
    )


def _port(text: str) -> int:
    if not (text.isdecimal() and 1 <= int(text) <= 65535):
        raise argparse.ArgumentTypeError("expected a port from 1 to 65535")
    return int(text)


def _delay_seconds(text: str) -> float:
    if not (text.isdecimal() and int(text) <= 10_000):
        raise SystemExit(
            f"{DELAY_VARIABLE} must be a whole number of milliseconds from 0 to 10000, such as 15."
        )
    return int(text) / 1000


if __name__ == "__main__":
    main()
