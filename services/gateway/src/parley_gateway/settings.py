"""Settings of the gateway, read from environment variables; see docs/configuration.md."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from parley_core.auth.service_keys import ServiceKeysSetting, SigningKeySetting, key_of
from parley_core.http.connection_limits import Networks
from parley_core.http.person_limit import PersonShare
from parley_core.limits.rules_file import LimitsFileSetting
from parley_core.process.server_settings import (
    ManagementPort,
    ServerSettings,
    ServerSettingsGroup,
)
from parley_core.runtime.settings import (
    BaseUrl,
    Count,
    CountOrZero,
    Names,
    Port,
    Prefix,
    Seconds,
    Settings,
    SharedPortSetting,
    Variable,
)
from parley_core.storage.redis_settings import RedisGroup, RedisSettings
from parley_core.tls.tls_settings import TlsGroup, TlsSettings
from parley_gateway.auth.token_settings import JWTSettings, TokenCacheSettings
from parley_gateway.history.page_cache import PageCacheSettings
from parley_gateway.http.body_limits import BodyLimitSettings
from parley_gateway.http.cors import Origins
from parley_gateway.turns.event_relay import StreamSettings


class GatewaySettings(Settings, env_prefix="PARLEY_GATEWAY_"):
    signing_key: Annotated[SigningKeySetting, key_of("gateway")]
    service_keys: ServiceKeysSetting
    session_url: Annotated[BaseUrl, Variable("PARLEY_SESSION_URL")] = Field(
        description="the base URL of the session service, such as http://127.0.0.1:8081"
    )
    inference_url: Annotated[BaseUrl, Variable("PARLEY_INFERENCE_URL")] = Field(
        description="the base URL of the inference service, such as http://127.0.0.1:8082"
    )
    history_url: Annotated[BaseUrl, Variable("PARLEY_HISTORY_URL")] = Field(
        description="the base URL of the history service, such as http://127.0.0.1:8083"
    )
    redis: RedisGroup = RedisSettings()
    host: str = Field(default="127.0.0.1", description="the address to listen on")
    port: Port = 8080
    shared_port: SharedPortSetting = None
    management_port: ManagementPort = None
    server: ServerSettingsGroup = ServerSettings()
    tls: TlsGroup = TlsSettings()

    production: Annotated[bool, Variable("PARLEY_PRODUCTION")] = Field(
        default=False,
        description="whether settings for development, which is PARLEY_JWT_SECRET, are refused: "
        "true or false",
    )
    jwt: Annotated[JWTSettings, Prefix("PARLEY_JWT_")]
    token_cache: TokenCacheSettings = TokenCacheSettings()
    body: BodyLimitSettings = BodyLimitSettings()
    page_cache: PageCacheSettings = PageCacheSettings()
    stream: StreamSettings = StreamSettings()
    limits_file: LimitsFileSetting = None

    rejected_parameters: Names = Field(
        default=frozenset(),
        description="the names of chat completion parameters that are rejected instead of passed "
        "to the model server, such as store,service_tier",
    )
    page_path: Path | None = Field(
        default=None,
        description="the path of the folder with the built chat page; by default, the page in the "
        "package, which only wheels have",
    )
    cors_origins: Origins = ()
    public_docs: Annotated[bool, Variable("PARLEY_PUBLIC_DOCS")] = Field(
        default=True,
        description="whether /docs and /openapi.json are served, without a token: true or false",
    )
    upstream_timeout_seconds: Seconds = Field(
        default=10, description="the seconds that a call to another service may take"
    )
    reply_timeout_seconds: Seconds = Field(
        default=600,
        description="the seconds that a request waits for a reply that is not streamed",
    )
    max_streams: Count = Field(
        default=2_000,
        description="the number of replies and exports that are streamed concurrently",
    )
    max_person_share: PersonShare = Field(
        default=0.1,
        description="the share of these streams that one person may have, over 0 and up to 1",
    )
    max_connections: CountOrZero = Field(
        default=10_000,
        description="the number of connections that clients may have open; 0 for no limit but "
        "that of file descriptors",
    )
    max_connections_per_address: CountOrZero = Field(
        default=2_000,
        description="the number of connections that one client address may have open; 0 for no "
        "limit",
    )
    trusted_proxies: Networks = Field(
        default=(),
        description="the addresses or networks of proxies in front of the gateway, such as "
        "10.0.0.0/8,fd00::/8, to which the limit per address does not apply, whose X-Forwarded-For "
        "names the client in the log, and whose traces are continued",
    )
    drain_seconds: Count = Field(
        default=600,
        description="the whole seconds that requests which no other gateway can resume may take to "
        "finish after SIGTERM",
    )
    handover_seconds: float = Field(
        default=10,
        ge=0,
        le=3600,
        description="the seconds over which streams that clients can resume end after SIGTERM, so "
        "that the clients do not reconnect together; from 0 to 3600",
    )

    @model_validator(mode="after")
    def _reject_development_settings(self) -> Self:
        if self.production and self.jwt.secret is not None:
            raise ValueError(
                "PARLEY_JWT_SECRET is for development, and PARLEY_PRODUCTION is set: use "
                "PARLEY_OIDC_ISSUERS"
            )
        return self
