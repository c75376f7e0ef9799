"""What `rebuild` and `verify` read from the environment, beside what the projector has too."""

from pydantic import Field

from parley_core.log.settings import LogSettings
from parley_core.runtime.settings import Count, Seconds
from parley_events.topics import SESSIONS_TOPIC
from parley_history.settings import DatabaseSettings


class RebuildSettings(DatabaseSettings, LogSettings):
    """Seconds, bytes and counts."""

    projector_topic: str = SESSIONS_TOPIC

    # Far more than the projector holds of a session: what was parked there for a gap in the log,
    # and applied by a retry once the gap was filled, must not stop a rebuild.
    rebuild_held_events: Count = 10_000

    rebuild_records: int = Field(20_000, ge=1, le=100_000, description="a number from 1 to 100000")
    rebuild_batch_bytes: Count = 64 * 1024 * 1024
    rebuild_sessions_kept: Count = 100_000
    rebuild_join_seconds: Seconds = 30
    rebuild_read_seconds: Seconds = 0.5
    rebuild_stalled_seconds: Seconds = 60

    # How long a verify waits for the live projection to come as far as it has read.
    rebuild_live_seconds: Seconds = 10

    # While the swap holds the lock, projectors wait; while it wants the views, readers do.
    rebuild_swap_records: Count = 5_000
    rebuild_swap_seconds: Seconds = 5
    rebuild_swap_attempts: Count = 10
    rebuild_views_seconds: Seconds = 0.2
    rebuild_views_attempts: Count = 10
