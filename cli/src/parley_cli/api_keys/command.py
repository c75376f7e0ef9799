"""Run of `parley api-keys`: calls the gateway's API as the user whose keys they are."""

import argparse
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2

from parley_cli.errors import CommandError
from parley_cli.service_commands.gateway_client import authenticated_client, call_gateway


def api_keys(options: argparse.Namespace) -> int:
    """Raises InvalidSettings, CommandError."""
    # The user has the scopes that they give to a key.
    scopes = getattr(options, "scope", ())
    with authenticated_client(
        options.url, user=options.user, tenant=options.tenant, scopes=scopes
    ) as client:
        match options.api_keys_command:
            case "create":
                _create(client, options)
            case "list":
                _list(client)
            case "revoke":
                call_gateway(client, "DELETE", f"/v1/api-keys/{options.id}")
                print(f"Revoked {options.id}.")
    return 0


def _create(client: httpx2.Client, options: argparse.Namespace) -> None:
    body: dict[str, Any] = {"name": options.name, "scopes": options.scope}
    if options.model:
        body["models"] = options.model
    if options.limit:
        body["limits"] = limits = dict(options.limit)
        if len(limits) < len(options.limit):
            raise CommandError("--limit is given twice for one name. Give each name once.")
    if options.days is not None:
        body["expires_at"] = (datetime.now(UTC) + timedelta(days=options.days)).isoformat()
    created = call_gateway(client, "POST", "/v1/api-keys", body)
    print(created["key"])
    print("This key is not shown again.", file=sys.stderr)


def _list(client: httpx2.Client) -> None:
    for key in call_gateway(client, "GET", "/v1/api-keys")["data"]:
        expires = f"expires {key['expires_at'][:10]}" if key["expires_at"] else "does not expire"
        used = f"used {key['last_used_on']}" if key["last_used_on"] else "not used"
        scopes = " ".join(key["scopes"]) or "no scopes"
        models = " ".join(key["models"]) if key["models"] else "all models"
        limits = " ".join(f"{name}={value}" for name, value in key["limits"].items())
        limits = limits or "the user's limits"
        print(f"{key['id']}  {key['name']}  ({scopes}; {models}; {expires}; {limits}; {used})")
