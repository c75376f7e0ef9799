"""What inference reads from the environment: whom it calls, and the bound of every wait and size.

Durations are in seconds and sizes in bytes. No other file reads the environment.
"""

import os
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr

from parley_contracts.turn_sse import HEARTBEAT_SECONDS
from parley_core.runtime.settings import (
    Count,
    InternalSecretSetting,
    Port,
    RedisUrl,
    Seconds,
    SharedPort,
    Variable,
)

KIB = 1024
MIB = 1024 * KIB


class InferenceSettings(SharedPort):
    internal_secret: InternalSecretSetting = Field(
        description="at least 32 random bytes, the same for every service"
    )
    session_url: str = Field(
        description="the base URL of the session service, such as http://127.0.0.1:8081",
        pattern="^https?://",
    )
    inference_host: str = "127.0.0.1"
    inference_port: Port = 8082

    models: Path | None = None
    model: str | None = None
    openai_base_url: Annotated[str, Variable("OPENAI_BASE_URL")] = "https://api.openai.com/v1"
    openai_api_key: Annotated[SecretStr | None, Variable("OPENAI_API_KEY")] = None

    # How much this process takes on at once.
    inference_turns: int = Field(200, ge=1, le=10_000, description="a number from 1 to 10000")
    inference_streams: Count = 2_000
    inference_body_bytes: Count = 16 * KIB
    # A longer reply would exceed what one event of the log may have, once sealed.
    inference_reply_bytes: int = Field(
        512 * KIB, ge=16, le=512 * KIB, description="a number of bytes from 16 to 524288"
    )

    inference_completions: Count = 200
    inference_completion_body_bytes: Count = 6 * MIB

    # What it keeps, and how long.
    inference_ended_turns: Count = 256
    inference_ended_seconds: Seconds = 30
    inference_context_bytes: Count = 64 * MIB
    inference_context_seconds: Seconds = 300

    # What it does in the background once a reply is made, and how much of it at once.
    inference_titles: bool = True
    inference_compaction: bool = True
    inference_afterwards: Count = 16
    inference_title_seconds: Seconds = 20
    inference_compaction_seconds: Seconds = 60

    # What completions used is told to session in the background, and given up after a while.
    inference_records_waiting: Count = 10_000
    inference_records_at_once: Count = 4
    inference_record_seconds: Seconds = 300

    # Its readers and the session service.
    inference_client_seconds: Seconds = 30
    inference_stream_heartbeat_seconds: Seconds = HEARTBEAT_SECONDS
    inference_heartbeat_seconds: Seconds = 0.5
    # One that a replica of session does not answer is followed by others, many of them within the
    # 10 s after which the turns here would be interrupted.
    inference_heartbeat_answer_seconds: Seconds = 1
    # Session names an erased session in its heartbeats for a minute.
    inference_unheard_seconds: float = Field(
        45, gt=0, lt=60, description="seconds, over 0 and under 60"
    )
    inference_follow_seconds: Seconds = 1
    inference_session_seconds: Seconds = 5
    inference_commit_pause_seconds: Seconds = 2
    inference_drain_seconds: Count = 5
    inference_drain_commit_seconds: Count = 2

    # What is streamed is shown to other processes through Redis, where there is one.
    redis: RedisUrl | None = Field(None, description="a URL such as redis://127.0.0.1:6379/0")
    inference_buffer_flush_seconds: Seconds = 0.05
    inference_buffer_poll_seconds: Seconds = 0.05
    # One call, which holds up all streams; and how long none is made after one that failed.
    inference_buffer_turns: Count = 200
    inference_buffer_bytes: Count = 4 * MIB
    inference_buffer_entries: Count = 1_000
    inference_buffer_seconds: Seconds = 0.25
    inference_buffer_pause_seconds: Seconds = 1
    # How long a buffer is kept beyond its reply's longest time, and once its turn has ended.
    inference_buffer_grace_seconds: Seconds = 120
    inference_buffer_ended_seconds: Count = 90

    # The model servers; the models file may have other times, and another number, for one of them.
    upstream_at_once: Count = 500
    upstream_wait_seconds: Seconds = 5
    upstream_connect_seconds: Seconds = 5
    upstream_first_token_seconds: Seconds = 60
    upstream_between_tokens_seconds: Seconds = 30
    upstream_after_finish_seconds: Seconds = 2
    upstream_total_seconds: Seconds = 600
    upstream_attempts: int = Field(3, ge=1, le=10, description="a number from 1 to 10")
    upstream_retry_seconds: Seconds = 0.25
    upstream_retry_most_seconds: Seconds = 10
    upstream_failures_in_a_row: Count = 10
    upstream_open_seconds: Seconds = 5
    upstream_event_bytes: Count = 1 * MIB
    upstream_answer_bytes: Count = 8 * MIB


def environment_variable(name: str) -> str | None:
    """A variable that the models file names: the key of a model server."""
    return os.environ.get(name)
