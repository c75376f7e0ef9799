"""What history reads from the environment: its engines, whom it calls, the bound of every wait.

Durations are in seconds and sizes in bytes. No other file reads the environment.
"""

from pydantic import Field

from parley_core.log.settings import LogSettings
from parley_core.runtime.settings import (
    Count,
    DatabaseUrl,
    InternalSecretSetting,
    Port,
    RedisUrl,
    Seconds,
    Settings,
    SharedPort,
)
from parley_events.topics import SESSIONS_TOPIC


class DatabaseSettings(Settings):
    """What the `migrate` command needs, and both processes."""

    history_database: DatabaseUrl = Field(
        description="a URL such as postgresql://user:password@host/parley_history"
    )
    history_database_seconds: Seconds = 5


class ProjectorSettings(DatabaseSettings, LogSettings):
    """What the `project` command needs."""

    projector_host: str = "127.0.0.1"
    projector_port: Port = 8084
    projector_topic: str = SESSIONS_TOPIC
    projector_group: str = "parley-history"

    projector_records: int = Field(2_000, ge=1, le=10_000, description="a number from 1 to 10000")
    projector_held_events: Count = 100
    projector_join_seconds: Seconds = 30
    projector_read_seconds: Seconds = 0.5
    projector_hint_seconds: Seconds = 1
    projector_pause_seconds: Seconds = 0.1
    projector_pause_most_seconds: Seconds = 2

    # Its watchdog.
    projector_look_seconds: Seconds = 2
    projector_ends_seconds: Seconds = 5
    projector_stuck_seconds: Seconds = 60


class HistorySettings(DatabaseSettings, SharedPort):
    """What the `serve` command needs."""

    internal_secret: InternalSecretSetting = Field(
        description="at least 32 random bytes, the same for every service"
    )
    session_url: str = Field(
        description="the base URL of the session service, such as http://127.0.0.1:8081",
        pattern="^https?://",
    )
    history_host: str = "127.0.0.1"
    history_port: Port = 8083
    history_connections: int = Field(10, ge=1, le=1_000, description="a number from 1 to 1000")
    history_session_seconds: Seconds = 5
    history_body_bytes: Count = 16 * 1024
    history_drain_seconds: Count = 3
    history_exports: Count = 20

    # Waiting for the projection.
    history_wait_seconds: Seconds = 2
    history_waiting: Count = 500
    history_poll_seconds: Seconds = 0.1
    history_listen_pause_seconds: Seconds = 1
    history_listen_look_seconds: Seconds = 1

    # Pages in Redis, where there is one.
    redis: RedisUrl | None = None
    history_redis_seconds: Seconds = 0.05
    history_redis_pause_seconds: Seconds = 1
    history_redis_keep_seconds: Count = 300
    history_redis_page_bytes: Count = 1024 * 1024
    history_redis_connections: Count = 50

    # Telling other processes what moves.
    history_followers: Count = 100
    history_follower_unread: Count = 1_000
    history_follower_alive_seconds: Seconds = 1

    # An erased session is closed within 60 s whatever has stopped: a page that a key opened at its
    # very end is kept by a gateway for 30 s more.
    history_keys: Count = 10_000
    history_key_seconds: float = Field(30, gt=0, le=30, description="seconds, over 0 and up to 30")

    # Indexing the words of messages, by one of the processes that may: so many sessions at once,
    # and so long between two looks at what was not heard of.
    history_search_indexes: bool = True
    history_search_sessions: int = Field(100, ge=1, le=1_000, description="from 1 to 1000")
    history_search_moved: Count = 10_000
    history_search_walk_seconds: Seconds = 1
    history_search_pause_seconds: Seconds = 1
    history_search_seconds: Seconds = 30
