"""Serves the gateway until SIGTERM: `python -m parley_gateway`."""

import sys

from parley_core.runtime.garbage_collection import garbage_collection_paused

with garbage_collection_paused():
    from parley_core.http.draining_server import Hooks
    from parley_core.http.server import serve
    from parley_core.process.exit_codes import INVALID_SETTINGS, exit_code
    from parley_core.runtime.safe_logging import configure_logging, report_failure
    from parley_core.runtime.settings import InvalidSettings, load
    from parley_core.tracing.setup import configure_tracing
    from parley_gateway.app import create_gateway
    from parley_gateway.settings import GatewaySettings


def main() -> int:
    try:
        configure_logging("gateway")
        configure_tracing("gateway")
        settings = load(GatewaySettings)
        gateway = create_gateway(settings)
    except InvalidSettings as error:
        report_failure(error)
        return INVALID_SETTINGS
    serve(
        gateway.asgi,
        gateway.monitor,
        host=settings.host,
        port=settings.port,
        management_port=settings.management_port,
        shared_port=settings.shared_port,
        settings=settings.server,
        tls=settings.tls,
        drain_seconds=settings.drain_seconds,
        max_connections=settings.max_connections,
        max_connections_per_address=settings.max_connections_per_address,
        trusted_proxies=settings.trusted_proxies,
        hooks=Hooks(on_drain=gateway.begin_drain, on_hurry=gateway.hurry),
        early_responder=gateway.early_pages,
    )
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
