"""Where each process of a stack listens, and whom its callers call."""

from collections.abc import Iterator, Mapping

# In the order in which they are shown; each may have replicas.
SERVICES = ("session", "inference", "history-serve", "history-project", "gateway")
MOST_REPLICAS = 9
DEMO_MODEL = "demo-model"


def replica_name(service: str, place: int) -> str:
    """`gateway`, then `gateway-2`, …; places count from 0."""
    return service if place == 0 else f"{service}-{place + 1}"


class Addresses:
    """`host:port` of each process: the first gateway's is given, the others take free ports."""

    def __init__(self, gateway: str, replicas: Mapping[str, int], ports: Iterator[int]) -> None:
        self._counts = {service: replicas.get(service, 1) for service in SERVICES}
        names = [DEMO_MODEL, *(replica_name(*replica) for replica in self.replicas())]
        chosen = {name: f"127.0.0.1:{next(ports)}" for name in names}
        self._addresses = chosen | {"gateway": gateway}

    def replicas(self) -> Iterator[tuple[str, int]]:
        """Each service and place."""
        for service in SERVICES:
            for place in range(self._counts[service]):
                yield service, place

    def of(self, name: str) -> str:
        return self._addresses[name]

    def url(self, service: str, caller_place: int) -> str:
        """The n-th caller calls the n-th replica, from the first again after the last."""
        name = replica_name(service, caller_place % self._counts[service])
        return f"http://{self.of(name)}"


def host_and_port(address: str) -> tuple[str, str]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), port


def joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
