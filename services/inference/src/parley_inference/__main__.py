"""Serves inference until SIGTERM: `python -m parley_inference`."""

import logging
import math
import sys

from parley_core.runtime.garbage_collection import garbage_collection_paused

with garbage_collection_paused():
    from parley_core.http.draining_server import Hooks
    from parley_core.http.server import serve
    from parley_core.process.exit_codes import INVALID_SETTINGS, exit_code
    from parley_core.runtime.safe_logging import configure_logging, report_failure
    from parley_core.runtime.settings import InvalidSettings, load
    from parley_core.tracing.setup import configure_tracing
    from parley_inference.app import create_app
    from parley_inference.settings import InferenceSettings


def main() -> int:
    # httpx2 would log a line with the model server's URL for each request.
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    try:
        configure_logging("inference")
        configure_tracing("inference")
        settings = load(InferenceSettings)
        app = create_app(settings)
    except InvalidSettings as error:
        report_failure(error)
        return INVALID_SETTINGS
    serve(
        app,
        app.state.monitor,
        host=settings.host,
        port=settings.port,
        management_port=settings.management_port,
        shared_port=settings.shared_port,
        settings=settings.server,
        tls=settings.tls,
        drain_seconds=math.ceil(settings.drain.seconds + settings.drain.commit_seconds),
        hooks=Hooks(on_drain=lambda: app.state.begin_drain(), on_hurry=lambda: app.state.hurry()),
    )
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
