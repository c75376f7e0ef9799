"""The address of a client, also behind proxies that the operator trusts."""

from collections.abc import Iterator, Sequence
from ipaddress import ip_address

from starlette.datastructures import Headers
from starlette.types import Scope

from parley_core.http.connection_limits import Network, is_within

# More than any chain of proxies has.
_MAX_PROXIES = 16


class ClientAddresses:
    """Of a connection from a trusted proxy, the last address in X-Forwarded-For that no trusted
    proxy has: everything before it may be made up by the client.
    """

    def __init__(self, trusted_proxies: Sequence[Network]) -> None:
        self._trusted_proxies = trusted_proxies

    def address_of(self, scope: Scope) -> str | None:
        """None for a connection without an address, such as that of a Unix socket."""
        peer = scope.get("client")
        if not peer:
            return None
        address: str = peer[0]
        if not self._trusted_proxies:
            return address
        for forwarded in _forwarded_for(scope):
            if not is_within(address, self._trusted_proxies):
                break
            address = forwarded
        return address

    def client_of(self, scope: Scope) -> str | None:
        """As `address_of`; None for a trusted proxy, too, behind which there are many clients."""
        address = self.address_of(scope)
        if address is None or not self._trusted_proxies:
            return address
        return None if is_within(address, self._trusted_proxies) else address


def _forwarded_for(scope: Scope) -> Iterator[str]:
    """The addresses that proxies added, the last one first, up to the first that is no address."""
    given = ",".join(Headers(scope=scope).getlist("x-forwarded-for"))
    for entry in given.rsplit(",", _MAX_PROXIES)[: -_MAX_PROXIES - 1 : -1]:
        text = entry.strip()
        # Some proxies add the port: 192.0.2.1:5678 or [2001:db8::1]:5678.
        host = text[1:].partition("]")[0] if text.startswith("[") else text
        if host.count(":") == 1:
            host = host.partition(":")[0]
        try:
            # The zone of an IPv6 address is any text, and means nothing on another machine.
            yield str(ip_address(host.partition("%")[0]))
        except ValueError:
            return
