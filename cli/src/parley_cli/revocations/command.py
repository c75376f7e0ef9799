"""Run of `parley revoke`: calls the gateway's API as an administrator of the tenant."""

import argparse
import shlex
import sys

import httpx2

from parley_cli.service_commands.gateway_client import authenticated_client, call_gateway

PAGE_SIZE = 100

_PATH = "/v1/admin/revocations"


def revoke(options: argparse.Namespace) -> int:
    """Raises InvalidSettings, CommandError."""
    with authenticated_client(
        options.url, user="operator", tenant=options.tenant, scopes=["admin"]
    ) as client:
        if options.revoke_command == "list":
            _list(client)
            return 0
        target = options.tenant if options.revoke_command == "tenant" else options.target
        body = {"kind": options.revoke_command, "target": target}
        made = call_gateway(client, "POST", _PATH, body)
        print(f"Revoked {made['kind']} {made['target']} as of {made['revoked_at']}.")
        if made["kind"] == "user":
            tenant = ("--tenant", options.tenant) if options.tenant else ()
            print(
                "Their API keys stay valid. They are listed by `parley "
                f"{shlex.join(('api-keys', 'list', '--user', made['target'], *tenant))}`, and "
                "`parley api-keys revoke` revokes one.",
                file=sys.stderr,
            )
    return 0


def _list(client: httpx2.Client) -> None:
    path = f"{_PATH}?limit={PAGE_SIZE}"
    while True:
        page = call_gateway(client, "GET", path)
        for each in page["data"]:
            # The revocation of a tenant refuses API keys too, which may have no end.
            end = "permanently" if each["kind"] == "tenant" else f"until {each['expires_at']}"
            times = f"as of {each['revoked_at']}, stored {end}"
            print(f"{each['kind']} {each['target']}  ({times}; by {each['revoked_by']})")
        if not page["has_more"]:
            return
        path = f"{_PATH}?limit={PAGE_SIZE}&after={page['last_id']}"
