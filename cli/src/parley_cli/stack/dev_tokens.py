"""Development tokens: the JWTs that a local gateway accepts."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import jwt

from parley_cli.settings import TokenSettings
from parley_cli.stack.secret_store import SecretStore

DEFAULT_USER = "you"
DEFAULT_HOURS = 30 * 24


class SecretNotFound(Exception):
    """There is nothing yet to sign a token with; the message says what makes it."""


def development_token(
    settings: TokenSettings,
    *,
    user: str,
    now: datetime,
    tenant: str | None = None,
    scopes: Sequence[str] = (),
    hours: int = DEFAULT_HOURS,
) -> str:
    """A token signed with PARLEY_JWT_SECRET or the data folder's own secret.

    Raises SecretNotFound, SecretLost.
    """
    claims: dict[str, str | int] = {
        "sub": user,
        "iat": int(now.timestamp()),
        "exp": int((now + timedelta(hours=hours)).timestamp()),
    }
    optional = {
        "tenant": tenant,
        "scope": " ".join(scopes),
        "iss": settings.jwt_issuer,
        "aud": settings.jwt_audience,
    }
    claims |= {name: value for name, value in optional.items() if value}
    return jwt.encode(claims, _secret(settings), algorithm="HS256")


def _secret(settings: TokenSettings) -> str:
    if settings.jwt_secret:
        return settings.jwt_secret.get_secret_value()
    if kept := SecretStore(settings.data).existing("jwt-secret"):
        return kept
    raise SecretNotFound(
        f"There is no secret in {settings.data} to sign a token with: run `parley up` first, or "
        "set PARLEY_JWT_SECRET or PARLEY_DATA."
    )
