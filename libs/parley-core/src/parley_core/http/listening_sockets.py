"""Binds listening sockets: one address, or `*` for every address of IPv4 and of IPv6."""

import errno
import logging
import socket
from collections.abc import Sequence

ANY_HOST = "*"

_log = logging.getLogger(__name__)


def bind(host: str, port: int, *, shared: bool = False) -> Sequence[socket.socket]:
    """Bind TCP sockets; they listen only once the application has started.

    Raises SystemExit with code 1, after logging the reason.
    """
    if host != ANY_HOST:
        return [_bind_one(host, port, shared=shared)]
    # Two sockets, because one for both would report IPv4 clients with IPv6 addresses.
    sockets = [_bind_one("0.0.0.0", port, shared=shared)]  # noqa: S104
    if _has_ipv6():
        sockets.append(_bind_one("::", sockets[0].getsockname()[1], shared=shared))
    return sockets


def _bind_one(host: str, port: int, *, shared: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    try:
        if shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        _log.error("cannot listen on %s:%d: %s", host, port, error.strerror or error)
        raise SystemExit(1) from None
    return bound


def _has_ipv6() -> bool:
    """Whether this machine has IPv6: containers often do not."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError as error:
        if error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
            raise
        _log.info("this machine has no IPv6: listening on IPv4 only")
        return False
    return True
