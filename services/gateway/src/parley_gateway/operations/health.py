"""Whether the process lives and can serve."""

from parley_gateway.answers import Health, NotReady
from parley_gateway.operations.operation import Operation

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
