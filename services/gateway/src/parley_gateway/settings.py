"""Settings of the gateway, read from environment variables; see docs/configuration.md."""

from typing import Annotated

from pydantic import Field

from parley_core.runtime.settings import (
    BaseUrl,
    Count,
    InternalSecretSetting,
    Port,
    Prefix,
    Seconds,
    Settings,
    SharedPortSetting,
    Variable,
)
from parley_gateway.auth.token_settings import JWTSettings, TokenCacheSettings
from parley_gateway.history.page_cache import PageCacheSettings
from parley_gateway.http.body_limits import BodyLimitSettings
from parley_gateway.turns.event_relay import StreamSettings


class GatewaySettings(Settings, env_prefix="PARLEY_GATEWAY_"):
    internal_secret: InternalSecretSetting
    session_url: Annotated[BaseUrl, Variable("PARLEY_SESSION_URL")]
    inference_url: Annotated[BaseUrl, Variable("PARLEY_INFERENCE_URL")]
    history_url: Annotated[BaseUrl, Variable("PARLEY_HISTORY_URL")]
    host: str = "127.0.0.1"
    port: Port = 8080
    shared_port: SharedPortSetting = None

    jwt: Annotated[JWTSettings, Prefix("PARLEY_JWT_")]
    token_cache: TokenCacheSettings = TokenCacheSettings()
    body: BodyLimitSettings = BodyLimitSettings()
    page_cache: PageCacheSettings = PageCacheSettings()
    stream: StreamSettings = StreamSettings()

    upstream_timeout_seconds: Seconds = Field(
        default=10, description="how long a call to another service may take, in seconds"
    )
    reply_timeout_seconds: Seconds = Field(
        default=600,
        description="how long a request waits for a reply that is not streamed, in seconds",
    )
    max_streams: Count = Field(
        default=2_000,
        description="the number of replies and exports that clients may read concurrently",
    )
    drain_seconds: Count = Field(
        default=5, description="how long open requests may take at shutdown, in whole seconds"
    )
