"""Settings of token verification."""

from pathlib import Path
from typing import Annotated, Self

from jwt.algorithms import HMACAlgorithm
from jwt.exceptions import InvalidKeyError
from pydantic import Field, SecretStr, model_validator

from parley_core.runtime.settings import Seconds, SettingsGroup, Variable

# RFC 7518, section 3.2: a key for HS256 is at least as long as its hash.
MIN_SECRET_BYTES = 32


class JWTSettings(SettingsGroup):
    """Tokens are verified with a shared secret or with the keys of issuers, never both."""

    secret: SecretStr | None = Field(
        default=None, description="at least 32 random bytes, for development"
    )
    issuers: Annotated[Path | None, Variable("PARLEY_OIDC_ISSUERS")] = Field(
        default=None,
        description="the path of a YAML file with the OpenID Connect issuers of tokens",
    )

    @model_validator(mode="after")
    def _one_way_to_verify(self) -> Self:
        if (self.secret is None) == (self.issuers is None):
            raise ValueError(
                "Set either PARLEY_JWT_SECRET (development) or PARLEY_OIDC_ISSUERS (production), "
                "not both"
            )
        if self.secret is not None:
            _check_secret(self.secret.get_secret_value())
        return self


class TokenCacheSettings(SettingsGroup):
    ttl_seconds: Seconds = Field(
        default=60,
        description="the seconds for which a verified token is not verified again",
    )


def _check_secret(secret: str) -> None:
    if len(secret.encode()) < MIN_SECRET_BYTES:
        raise ValueError(
            f"PARLEY_JWT_SECRET should be at least {MIN_SECRET_BYTES} random bytes "
            "(try: openssl rand -hex 32)"
        )
    try:
        HMACAlgorithm(HMACAlgorithm.SHA256).prepare_key(secret)
    except InvalidKeyError:
        raise ValueError(
            "PARLEY_JWT_SECRET is an asymmetric key, which may be public: publish the public key "
            "and set PARLEY_OIDC_ISSUERS"
        ) from None
