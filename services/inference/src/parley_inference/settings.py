"""Settings of the inference service; no other module reads the environment."""

import os
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr

from parley_core.auth.service_keys import ServiceKeysSetting, SigningKeySetting, key_of
from parley_core.http.body_limit import MAX_TOTAL_BYTES
from parley_core.http.person_limit import PersonShare
from parley_core.process.server_settings import (
    ManagementPort,
    ServerSettings,
    ServerSettingsGroup,
)
from parley_core.runtime.settings import (
    BaseUrl,
    Count,
    Port,
    Prefix,
    Settings,
    SharedPortSetting,
    Variable,
)
from parley_core.storage.redis_settings import RedisGroup, RedisSettings
from parley_core.tls.tls_settings import TlsGroup, TlsSettings
from parley_inference.background.post_reply_tasks import PostReplyTaskSettings
from parley_inference.models.openai_provider import UpstreamSettings
from parley_inference.turns.shutdown import ShutdownSettings


class InferenceSettings(Settings, env_prefix="PARLEY_INFERENCE_"):
    """Durations are in seconds, sizes in bytes."""

    host: str = Field("127.0.0.1", description="the address to listen at")
    port: Port = 8082
    shared_port: SharedPortSetting = None
    management_port: ManagementPort = None
    server: ServerSettingsGroup = ServerSettings()
    tls: TlsGroup = TlsSettings()
    signing_key: Annotated[SigningKeySetting, key_of("inference")]
    service_keys: ServiceKeysSetting
    session_url: Annotated[BaseUrl, Variable("PARLEY_SESSION_URL")]
    redis: RedisGroup = RedisSettings()

    models_path: Path | None = Field(
        None, description="the path of a YAML file of models; replaces the single model"
    )
    model: Annotated[str | None, Variable("PARLEY_MODEL")] = Field(
        None, description="the name of a model at OPENAI_BASE_URL"
    )
    openai_base_url: Annotated[str, Variable("OPENAI_BASE_URL")] = Field(
        "https://api.openai.com/v1", description="the base URL of an OpenAI-compatible server"
    )
    openai_api_key: Annotated[SecretStr | None, Variable("OPENAI_API_KEY")] = Field(
        None, description="the API key of that server"
    )

    max_turns: int = Field(
        200,
        ge=1,
        le=5_000,
        description="how many turns run at once, from 1 to 5000; session admits as many as all "
        "processes can run",
    )
    max_streams: Count = Field(2_000, description="how many streams of turns may be open at once")
    max_completions: Count = Field(
        200, description="how many stateless completions may run at once"
    )
    max_completions_person_share: PersonShare = Field(
        0.2, description="the share of these that one person may have, over 0 and up to 1"
    )
    body_max_total_bytes: Count = Field(
        MAX_TOTAL_BYTES, description="memory for the bodies of all requests at once, in bytes"
    )
    context_cache_max_bytes: Count = Field(
        64 * 1024 * 1024, description="memory for cached context windows, in bytes"
    )
    post_reply_tasks: Annotated[PostReplyTaskSettings, Prefix("PARLEY_INFERENCE_")] = (
        PostReplyTaskSettings()
    )
    drain: ShutdownSettings = ShutdownSettings()
    upstream: UpstreamSettings = UpstreamSettings()


def environment_variable(name: str) -> str | None:
    """Return a variable that the models file names: the API key of a model server."""
    return os.environ.get(name)
