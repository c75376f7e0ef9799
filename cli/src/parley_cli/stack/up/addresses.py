"""Where each process of a stack listens, and where its callers call it."""

from collections.abc import Iterator, Mapping

# In the order in which they are shown; each may have replicas.
SERVICES = ("session", "inference", "history-serve", "history-project", "gateway")
# Whom others call; the projector answers nobody but probes.
CALLED = ("session", "inference", "history-serve", "gateway")
MOST_REPLICAS = 9
LOOPBACK = "127.0.0.1"
DEMO_MODEL = "demo-model"


def replica_name(service: str, place: int) -> str:
    """`gateway`, then `gateway-2`, …; places count from 0."""
    return service if place == 0 else f"{service}-{place + 1}"


class Addresses:
    """`host:port` of each process, and where the replicas of a service are called.

    A single process is called at its own address; several share one besides. The gateways' is
    given, all others take free ports.
    """

    def __init__(self, gateway: str, replicas: Mapping[str, int], ports: Iterator[int]) -> None:
        self._counts = {service: replicas.get(service, 1) for service in SERVICES}
        self._own = {DEMO_MODEL: joined(LOOPBACK, next(ports))}
        for service, place in self.replicas():
            host = host_and_port(gateway)[0] if service == "gateway" else LOOPBACK
            self._own[replica_name(service, place)] = joined(host, next(ports))
        shared = {service: joined(LOOPBACK, next(ports)) for service in CALLED}
        shared["gateway"] = gateway
        self._shared = {s: address for s, address in shared.items() if self._counts[s] > 1}
        if "gateway" not in self._shared:
            self._own["gateway"] = gateway

    def replicas(self) -> Iterator[tuple[str, int]]:
        """Each service and place."""
        for service in SERVICES:
            for place in range(self._counts[service]):
                yield service, place

    def of(self, name: str) -> str:
        """The address of that process alone."""
        return self._own[name]

    def shared_port(self, service: str) -> str | None:
        """Where its processes listen too, if there are several."""
        shared = self._shared.get(service)
        return host_and_port(shared)[1] if shared else None

    def url(self, service: str) -> str:
        """Where any of its processes answers."""
        return f"http://{self._shared.get(service) or self._own[service]}"


def host_and_port(address: str) -> tuple[str, str]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), port


def joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
