"""Settings of token verification."""

from typing import Annotated, Self

from jwt.algorithms import HMACAlgorithm
from jwt.exceptions import InvalidKeyError
from pydantic import Field, SecretStr, model_validator

from parley_core.runtime.settings import BaseUrl, Seconds, SettingsGroup, Variable

# RFC 7518, section 3.2: a key for HS256 is at least as long as its hash.
MIN_SECRET_BYTES = 32


class JWTSettings(SettingsGroup):
    """Tokens are verified with a shared secret or with the keys at a JWKS URL, never both."""

    secret: SecretStr | None = Field(default=None, description="at least 32 random bytes")
    jwks_url: Annotated[BaseUrl | None, Variable("PARLEY_JWKS_URL")] = Field(
        default=None, description="the URL of a JSON Web Key Set"
    )
    issuer: str | None = Field(default=None, description="the required `iss` claim of tokens")
    audience: str | None = Field(default=None, description="the required `aud` claim of tokens")
    jwks_max_age_seconds: Annotated[Seconds, Variable("PARLEY_JWKS_MAX_AGE_SECONDS")] = Field(
        default=300,
        description="the seconds after which fetched keys are fetched again",
    )

    @model_validator(mode="after")
    def _one_way_to_verify(self) -> Self:
        if (self.secret is None) == (self.jwks_url is None):
            raise ValueError(
                "Set either PARLEY_JWT_SECRET (development) or PARLEY_JWKS_URL with "
                "PARLEY_JWT_ISSUER and PARLEY_JWT_AUDIENCE (production), not both"
            )
        if self.secret is not None:
            _check_secret(self.secret.get_secret_value())
            return self
        for name, value in (("ISSUER", self.issuer), ("AUDIENCE", self.audience)):
            if value is None:
                raise ValueError(f"PARLEY_JWT_{name} is not set. PARLEY_JWKS_URL requires it")
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
            "and set PARLEY_JWKS_URL"
        ) from None
