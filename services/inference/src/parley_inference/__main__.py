"""Serves inference until SIGTERM: `python -m parley_inference`."""

import logging
import math
import sys

from parley_core.http.server import serve
from parley_core.runtime.safe_logging import configure_logging
from parley_core.runtime.settings import InvalidSettings, load
from parley_inference.app import create_app
from parley_inference.settings import InferenceSettings


def main() -> int:
    configure_logging()
    # httpx2 would log a line with the model server's URL for each request.
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    try:
        settings = load(InferenceSettings)
        app = create_app(settings)
    except InvalidSettings as error:
        print(error, file=sys.stderr)
        return 2
    serve(
        app,
        host=settings.host,
        port=settings.port,
        shared_port=settings.shared_port,
        drain_seconds=math.ceil(settings.drain.seconds + settings.drain.commit_seconds),
        on_shutdown=lambda: app.state.begin_drain(),
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
