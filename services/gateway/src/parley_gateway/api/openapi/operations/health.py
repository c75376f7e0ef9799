"""Whether the process lives and can serve."""

from parley_gateway.api.openapi.operations.operation import Operation
from parley_gateway.schemas.responses import Health, NotReady

HEALTH = (
    Operation(
        "get",
        "/healthz",
        "isAlive",
        "Whether this process lives",
        {200: Health},
        public=True,
        tag="operation",
    ),
    Operation(
        "get",
        "/readyz",
        "isReady",
        "Whether it can serve, and what is missing otherwise",
        {200: Health, 503: NotReady},
        public=True,
        tag="operation",
    ),
)
