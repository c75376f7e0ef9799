"""Addresses of a stack: where each process listens, and where callers reach each service."""

from collections.abc import Iterator, Mapping
from ipaddress import IPv6Address, ip_address

from parley_core.http.listening_sockets import ANY_HOST

# In display order; each may have replicas.
SERVICES = ("session", "inference", "history-serve", "history-project", "gateway")
# The projector answers only probes.
CALLED_SERVICES = ("session", "inference", "history-serve", "gateway")
MAX_REPLICAS = 9
LOOPBACK = "127.0.0.1"
DEMO_MODEL = "demo-model"


def replica_name(service: str, index: int) -> str:
    """`gateway`, then `gateway-2`, …; indexes count from 0."""
    return service if index == 0 else f"{service}-{index + 1}"


class Addresses:
    """The `host:port` of each process and of its probes, and where each service is called.

    A single process is called at its own address; replicas share another one as well. The address
    of the gateway is given; all others use free ports.
    """

    def __init__(
        self,
        gateway: str,
        replicas: Mapping[str, int],
        ports: Iterator[int],
        *,
        scheme: str = "http",
    ) -> None:
        self._scheme = scheme
        self._counts = {service: replicas.get(service, 1) for service in SERVICES}
        self._management: dict[str, str] = {}
        self._own = {DEMO_MODEL: join_host_port(LOOPBACK, next(ports))}
        for service, index in self.replicas():
            host = split_host_port(gateway)[0] if service == "gateway" else LOOPBACK
            name = replica_name(service, index)
            self._management[name] = join_host_port(LOOPBACK, next(ports))
            self._own[name] = (
                join_host_port(host, next(ports))
                if service in CALLED_SERVICES
                else self._management[name]
            )
        shared = {service: join_host_port(LOOPBACK, next(ports)) for service in CALLED_SERVICES}
        shared["gateway"] = gateway
        self._shared = {s: address for s, address in shared.items() if self._counts[s] > 1}
        if "gateway" not in self._shared:
            self._own["gateway"] = gateway

    def replicas(self) -> Iterator[tuple[str, int]]:
        """Each service with the index of each of its replicas."""
        for service in SERVICES:
            for index in range(self._counts[service]):
                yield service, index

    def of(self, name: str) -> str:
        """The address of one process."""
        return self._own[name]

    def management(self, name: str) -> str:
        """The address of the probes and metrics of one process, on this machine only."""
        return self._management[name]

    def shared_port(self, service: str) -> str | None:
        """The port on which all replicas of the service listen; None for a single process."""
        shared = self._shared.get(service)
        return split_host_port(shared)[1] if shared else None

    def url(self, service: str) -> str:
        """The URL at which any process of the service answers."""
        return f"{self._scheme}://{self._shared.get(service) or self._own[service]}"


def reachable_host(host: str) -> str:
    """The host at which this machine reaches a server that listens on `host`."""
    if host == ANY_HOST:
        return LOOPBACK
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if not address.is_unspecified:
        return host
    return "::1" if isinstance(address, IPv6Address) else LOOPBACK


def split_host_port(address: str) -> tuple[str, str]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), port


def join_host_port(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
