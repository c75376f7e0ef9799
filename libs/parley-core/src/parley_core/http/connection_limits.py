"""Limits of the connections that a process has at the same time, in total and per client address.

An idle connection costs its client nothing, and the process a file descriptor and memory. Without
file descriptors a process can neither accept connections nor open any to other services.
"""

import asyncio
import logging
import resource
from collections import Counter
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Annotated, Literal, get_args

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from pydantic import BeforeValidator, Field

from parley_core.http.errors import closing_response, error_body

Network = IPv4Network | IPv6Network
Limit = Literal["total", "address"]

# Listening sockets, databases, brokers and files.
_RESERVED_DESCRIPTORS = 256
# Per client connection: its own, and the one on which its request is forwarded.
_DESCRIPTORS_PER_CONNECTION = 2
# One IPv6 client has a whole network of this prefix (RFC 6177).
_IPV6_CLIENT_PREFIX = 64
_LOG_INTERVAL_SECONDS = 60.0

_log = logging.getLogger(__name__)


def refusal() -> bytes:
    """Return the response to a refused connection, whose request is not read."""
    body = error_body(
        "The server has too many open connections. Please retry.",
        type="server_error",
        code="too_many_connections",
    )
    return closing_response(HTTPStatus.SERVICE_UNAVAILABLE, body, {"retry-after": "1"})


def _networks(given: object) -> object:
    """Parse `10.0.0.0/8,fd00::/8`. Raises ValueError."""
    if not isinstance(given, str):
        return given
    try:
        return tuple(ip_network(each.strip()) for each in given.split(","))
    except ValueError:
        raise ValueError("it should be addresses or networks such as 10.0.0.0/8,fd00::/8") from None


Networks = Annotated[
    tuple[Network, ...],
    BeforeValidator(_networks),
    Field(description="addresses or networks such as 10.0.0.0/8,fd00::/8"),
]


def is_within(address: str, networks: Sequence[Network]) -> bool:
    """Whether the address of a client is in one of the networks."""
    try:
        parsed = _parsed(address)
    except ValueError:  # Of a socket that has none.
        return False
    return any(parsed in network for network in networks)


def _parsed(address: str) -> IPv4Address | IPv6Address:
    """Raises ValueError."""
    parsed = ip_address(address.partition("%")[0])
    return getattr(parsed, "ipv4_mapped", None) or parsed


def client_of_address(address: str) -> str:
    """What counts as one client: of IPv6 a /64 network, else the address. Raises ValueError."""
    return _client_of(_parsed(address))


def _client_of(address: IPv4Address | IPv6Address) -> str:
    if address.version == 6:
        return str(ip_network((address, _IPV6_CLIENT_PREFIX), strict=False))
    return str(address)


class ConnectionLimits(Collector):
    """Admits connections up to `max_connections` in total and `max_per_address` of one address, and
    counts those that it refuses.

    0 is no limit. Of IPv6, an address is a /64 network. Addresses in `exempt` count only towards
    the total.
    """

    def __init__(
        self, *, max_connections: int = 0, max_per_address: int = 0, exempt: Sequence[Network] = ()
    ) -> None:
        self.max_connections, self._max_per_address = max_connections, max_per_address
        self._exempt = exempt
        self._connections = 0
        self._by_address: Counter[str] = Counter()
        self._refused: Counter[Limit] = Counter()
        self._not_logged, self._next_log = 0, 0.0

    def admit(self, address: str) -> bool:
        """Return whether the connection may stay; if so, it must be released when it ends."""
        client = self._client(address)
        if 0 < self.max_connections <= self._connections:
            return self._refuse("total", f"{self.max_connections} connections")
        if client and self._by_address[client] >= self._max_per_address:
            return self._refuse("address", f"{self._max_per_address} connections of one address")
        self._connections += 1
        if client:
            self._by_address[client] += 1
        return True

    def release(self, address: str) -> None:
        self._connections -= 1
        if client := self._client(address):
            self._by_address[client] -= 1
            if not self._by_address[client]:
                del self._by_address[client]

    def _client(self, address: str) -> str | None:
        """Return the client whose connections are counted, or None."""
        if not self._max_per_address or not address:
            return None
        if not self._exempt and ":" not in address:
            return address
        parsed = _parsed(address)
        if any(parsed in network for network in self._exempt):
            return None
        return _client_of(parsed)

    def collect(self) -> Iterable[Metric]:
        yield GaugeMetricFamily(
            "parley_connections", "Open connections of clients.", self._connections
        )
        refused = CounterMetricFamily(
            "parley_connections_refused",
            "Connections refused at the limit in total, or at that of one address.",
            labels=["limit"],
        )
        for limit in get_args(Limit):
            refused.add_metric([limit], self._refused[limit])
        yield refused

    def _refuse(self, limit: Limit, reached: str) -> bool:
        self._refused[limit] += 1
        self._not_logged += 1
        now = asyncio.get_running_loop().time()
        if now >= self._next_log:
            _log.warning("refused %d new connections: %s are open", self._not_logged, reached)
            self._not_logged, self._next_log = 0, now + _LOG_INTERVAL_SECONDS
        return False


def raise_descriptor_limit() -> int:
    """Raise the soft limit of file descriptors to the hard one; return the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == hard:
        return soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (ValueError, OSError):
        # macOS reports an unlimited hard limit, and accepts less.
        return soft
    return hard


def connections_within(descriptors: int, *, with_tls: bool = False) -> int:
    """Return the number of client connections that file descriptors suffice for, at least 1.

    With TLS they also suffice for as many connections whose handshake is not complete.
    """
    per_connection = _DESCRIPTORS_PER_CONNECTION + with_tls
    return max(1, (descriptors - _RESERVED_DESCRIPTORS) // per_connection)
