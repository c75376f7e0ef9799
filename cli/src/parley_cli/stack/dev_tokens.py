"""Development tokens: HS256 JWTs that the gateway of a local stack accepts."""

import argparse
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import jwt

from parley_cli.errors import CommandError
from parley_cli.settings import TokenSettings, load
from parley_cli.stack.secret_store import SecretStore
from parley_cli.stack.token_defaults import DEFAULT_HOURS


class SecretNotFound(CommandError):
    """No signing secret exists yet; the message says how to create one."""


def print_token(options: argparse.Namespace) -> int:
    token = development_token(
        load(TokenSettings),
        user=options.user,
        tenant=options.tenant,
        scopes=options.scope,
        hours=options.hours,
    )
    print(token)
    return 0


def development_token(
    settings: TokenSettings,
    *,
    user: str,
    tenant: str | None = None,
    scopes: Sequence[str] = (),
    hours: int = DEFAULT_HOURS,
) -> str:
    """A token signed with PARLEY_JWT_SECRET or the secret of the data folder.

    Raises SecretNotFound, SecretLost.
    """
    now = datetime.now(UTC)
    claims: dict[str, str | int] = {
        "sub": user,
        "iat": int(now.timestamp()),
        "exp": int((now + timedelta(hours=hours)).timestamp()),
    }
    optional = {"tenant": tenant, "scope": " ".join(scopes)}
    claims |= {name: value for name, value in optional.items() if value}
    return jwt.encode(claims, _secret(settings), algorithm="HS256")


def _secret(settings: TokenSettings) -> str:
    if settings.jwt_secret:
        return settings.jwt_secret.get_secret_value()
    if secret := SecretStore(settings.data).existing("jwt-secret"):
        return secret
    raise SecretNotFound(
        f"{settings.data} has no secret to sign a token with: run `parley up` first, or set "
        "PARLEY_JWT_SECRET or PARLEY_DATA."
    )
