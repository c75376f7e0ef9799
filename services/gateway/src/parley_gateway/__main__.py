"""Serves the gateway until SIGTERM: `python -m parley_gateway`."""

import sys

from parley_core.http.server import serve
from parley_core.runtime.safe_logging import configure_logging
from parley_core.runtime.settings import InvalidSettings, load
from parley_gateway.app import create_gateway
from parley_gateway.settings import GatewaySettings


def main() -> int:
    configure_logging()
    try:
        settings = load(GatewaySettings)
    except InvalidSettings as error:
        print(error, file=sys.stderr)
        return 2
    gateway = create_gateway(settings)
    serve(
        gateway.asgi,
        host=settings.host,
        port=settings.port,
        shared_port=settings.shared_port,
        drain_seconds=settings.drain_seconds,
        max_connections=settings.max_connections,
        max_connections_per_address=settings.max_connections_per_address,
        trusted_proxies=settings.trusted_proxies,
        on_shutdown=gateway.begin_drain,
        early_responder=gateway.early_pages,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
