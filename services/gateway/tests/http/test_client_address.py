"""The client's address: that of the connection, or what trusted proxies say."""

import logging
from collections.abc import Awaitable, Callable
from ipaddress import ip_network
from typing import Any

import pytest
from gateway_fakes.gateway import Gateway

from parley_gateway.http.client_address import ClientAddresses

TRUSTED = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


def address(peer: str, *forwarded: str) -> str | None:
    headers = [(b"x-forwarded-for", each.encode()) for each in forwarded]
    scope = {"type": "http", "client": (peer, 1234), "headers": headers}
    return ClientAddresses(TRUSTED).address_of(scope)


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("192.0.2.1", (), "192.0.2.1"),
        ("10.0.0.1", (), "10.0.0.1"),
        ("192.0.2.1", ("198.51.100.7",), "192.0.2.1"),
        ("10.0.0.1", ("198.51.100.7",), "198.51.100.7"),
        ("10.0.0.1", ("203.0.113.9, 198.51.100.7",), "198.51.100.7"),
        ("10.0.0.1", ("203.0.113.9, 198.51.100.7, 10.0.0.2",), "198.51.100.7"),
        ("10.0.0.1", ("203.0.113.9", "198.51.100.7"), "198.51.100.7"),
        ("10.0.0.1", ("198.51.100.7:5678",), "198.51.100.7"),
        ("fd00::1", ("[2001:db8::7]:5678",), "2001:db8::7"),
        ("fd00::1", ("2001:db8::7",), "2001:db8::7"),
        ("fd00::1", ("fe80::7%" + "x" * 1_000,), "fe80::7"),
        ("::ffff:10.0.0.1", ("198.51.100.7",), "198.51.100.7"),
        ("10.0.0.1", ("198.51.100.7, unknown",), "10.0.0.1"),
        ("10.0.0.1", ("198.51.100.7, , 10.0.0.2",), "10.0.0.2"),
        ("10.0.0.1", ("",), "10.0.0.1"),
        ("10.0.0.1", (", ".join(["10.0.0.2"] * 40),), "10.0.0.2"),
    ],
)
def test_only_addresses_added_by_trusted_proxies_are_believed(
    peer: str, forwarded: tuple[str, ...], expected: str
) -> None:
    assert address(peer, *forwarded) == expected


def test_a_connection_without_an_address_has_none() -> None:
    scope: dict[str, Any] = {"type": "http", "client": None, "headers": []}
    assert ClientAddresses(TRUSTED).address_of(scope) is None


@pytest.mark.parametrize(
    ("trusted", "expected"), [("127.0.0.0/8", "198.51.100.7"), ("192.0.2.0/24", "127.0.0.1")]
)
async def test_the_log_of_requests_names_the_client(
    start: Callable[..., Awaitable[Gateway]],
    caplog: pytest.LogCaptureFixture,
    trusted: str,
    expected: str,
) -> None:
    caplog.set_level(logging.INFO)
    gateway = await start(trusted_proxies=trusted)
    forwarded_for = "203.0.113.9, 198.51.100.7"
    async with gateway.request("GET", "/v1/client-config", x_forwarded_for=forwarded_for):
        pass
    [entry] = [each for each in caplog.records if each.name == "parley.access"]
    assert vars(entry)["fields"]["client"] == expected
