"""What the gateway reads from the environment: whom it calls, whose tokens it believes, its bounds.

Durations are in seconds and sizes in bytes. No other file reads the environment.
"""

from typing import Self

from jwt.algorithms import HMACAlgorithm
from jwt.exceptions import InvalidKeyError
from pydantic import Field, SecretStr, model_validator

from parley_contracts.session_api.limits import MAX_MESSAGE_BYTES
from parley_contracts.turn_sse import HEARTBEAT_SECONDS
from parley_core.runtime.settings import Count, InternalSecretSetting, Port, Seconds, SharedPort

KIB = 1024
MIB = 1024 * KIB
# RFC 7518, section 3.2: a key for HS256 is at least as long as its hash.
JWT_SECRET_BYTES = 32
_BASE_URL = "the base URL of the {} service, such as http://127.0.0.1:{}"


class GatewaySettings(SharedPort):
    internal_secret: InternalSecretSetting = Field(
        description="at least 32 random bytes, the same for every service"
    )
    session_url: str = Field(
        description=_BASE_URL.format("session", 8081), pattern="^https?://[^/]"
    )
    inference_url: str = Field(
        description=_BASE_URL.format("inference", 8082), pattern="^https?://[^/]"
    )
    history_url: str = Field(
        description=_BASE_URL.format("history", 8083), pattern="^https?://[^/]"
    )
    host: str = "127.0.0.1"
    port: Port = 8080

    # Whose tokens are believed: those signed with the secret, or with a key published at the URL.
    jwt_secret: SecretStr | None = Field(None, description="at least 32 random bytes")
    jwks_url: str | None = Field(
        None, description="the URL of a JSON Web Key Set", pattern="^https?://[^/]"
    )
    jwt_issuer: str | None = None
    jwt_audience: str | None = None
    jwks_seconds: Seconds = 5
    jwks_bytes: Count = 256 * KIB
    jwks_refetch_seconds: Seconds = 10
    jwks_max_age_seconds: Seconds = 300

    # What clients send. Text may take six bytes for each of its own, escaped in JSON.
    gateway_body_bytes: Count = 6 * MAX_MESSAGE_BYTES + 64 * KIB
    gateway_import_bytes: Count = 4 * MIB
    gateway_completion_bytes: Count = 4 * MIB
    gateway_body_seconds: Seconds = 30

    # Calls to other services.
    gateway_call_seconds: Seconds = 10
    gateway_ready_seconds: Seconds = 2

    # The list of models that names are looked up in.
    gateway_models_seconds: Seconds = 5

    # Tokens that were verified are believed again without it.
    gateway_verified_tokens: Count = 10_000
    gateway_verified_seconds: Seconds = 60

    # What each person wrote is in what they read next. For twice as long as history holds a key, so
    # that a session that this process saw erased stays erased whatever has stopped meanwhile.
    gateway_own_writes_seconds: Seconds = 60
    gateway_own_writes_people: Count = 10_000
    gateway_own_writes_sessions: Count = 20
    # How long the answer to a DELETE waits for history to know of it, and how often it asks.
    gateway_erased_seconds: Seconds = 2
    gateway_erased_pause_seconds: Seconds = 0.05

    # Pages of history that are kept while history's movements are heard.
    gateway_pages_bytes: Count = 64 * MIB
    gateway_page_bytes: Count = MIB
    # A page may have been opened with a key that history holds for 30 s: in all, a session that was
    # erased is closed within 60 s also when no movement comes.
    gateway_page_seconds: float = Field(30, gt=0, le=30, description="seconds, over 0 and up to 30")
    # History sends a line a second: this long without one, and no page is trusted.
    gateway_movements_silence_seconds: Seconds = 3
    gateway_movements_pause_seconds: Seconds = 0.1
    gateway_movements_most_pause_seconds: Seconds = 2
    gateway_movements_line_bytes: Count = MIB
    # For this long after a movement a replica of history may not have heard of it.
    gateway_movements_settle_seconds: Seconds = 0.5

    # An address with a ticket is read without a token for so long.
    gateway_ticket_seconds: Seconds = 900

    # Replies and exports that are being read, as a stream or as one answer.
    gateway_streams: Count = 2_000
    gateway_stream_heartbeat_seconds: Seconds = HEARTBEAT_SECONDS
    gateway_event_bytes: Count = 4 * MIB
    # Inference takes a turn or its reader within this, or another replica is asked. Several times
    # in the 10 s after which session ends a turn that nobody took.
    gateway_attach_seconds: Seconds = 2
    # After this long without a byte session is asked whether the turn has ended, and then again and
    # again. Within it session ends the turn of a runner that is stuck; a reply that is only slow
    # costs one question for each heartbeat.
    gateway_quiet_seconds: Seconds = 12
    gateway_quiet_again_seconds: Seconds = 4
    # Inference sends a heartbeat every 15 s: this many without a byte, and it is taken for dead.
    gateway_silence_seconds: Seconds = 35
    gateway_reattach_seconds: Seconds = 30
    gateway_reattach_pause_seconds: Seconds = 0.1
    gateway_reattach_most_pause_seconds: Seconds = 2
    gateway_look_seconds: Seconds = 2
    gateway_reply_seconds: Seconds = 600
    gateway_drain_seconds: Count = 5

    @model_validator(mode="after")
    def _one_way_to_verify(self) -> Self:
        if (self.jwt_secret is None) == (self.jwks_url is None):
            raise ValueError(
                "Set either PARLEY_JWT_SECRET (development) or PARLEY_JWKS_URL with "
                "PARLEY_JWT_ISSUER and PARLEY_JWT_AUDIENCE (production), and not both"
            )
        if self.jwt_secret is not None:
            _check_secret(self.jwt_secret.get_secret_value())
            return self
        for variable, value in (
            ("PARLEY_JWT_ISSUER", self.jwt_issuer),
            ("PARLEY_JWT_AUDIENCE", self.jwt_audience),
        ):
            if value is None:
                raise ValueError(
                    f"{variable} is not set. It should be what tokens say that are signed with "
                    "the keys at PARLEY_JWKS_URL"
                )
        return self


def _check_secret(secret: str) -> None:
    if len(secret.encode()) < JWT_SECRET_BYTES:
        raise ValueError(
            f"PARLEY_JWT_SECRET should be at least {JWT_SECRET_BYTES} random bytes "
            "(try: openssl rand -hex 32)"
        )
    try:
        HMACAlgorithm(HMACAlgorithm.SHA256).prepare_key(secret)
    except InvalidKeyError:
        raise ValueError(
            "PARLEY_JWT_SECRET is a key of a pair, which others may know: publish its public half "
            "and set PARLEY_JWKS_URL"
        ) from None
