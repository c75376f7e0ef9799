"""Addresses of a stack."""

import pytest

from parley_cli.stack.up.addresses import reachable_host


@pytest.mark.parametrize(
    ("listens_on", "reached_at"),
    [
        ("0.0.0.0", "127.0.0.1"),
        ("*", "127.0.0.1"),
        ("::", "::1"),
        ("192.168.1.7", "192.168.1.7"),
        ("localhost", "localhost"),
    ],
)
def test_a_gateway_on_every_address_is_reached_at_one_that_certificates_name(
    listens_on: str, reached_at: str
) -> None:
    assert reachable_host(listens_on) == reached_at
