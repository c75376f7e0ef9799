"""Log and projection: appends, outbox, relay, projector, dead letters, search index."""

from tools.monitoring.dashboard import Board, Query, gauge, quantiles, rate, series, time_series

_EVENT_STORE = [
    time_series("Duration of appends", "s", *quantiles("parley_session_append_duration_seconds")),
    time_series(
        "Age of the oldest event that Kafka lacks",
        "s",
        gauge("parley_session_outbox_oldest_age_seconds", "stream", aggregate="max"),
    ),
    time_series(
        "Events that Kafka lacks", "none", gauge("parley_session_outbox_pending_events", "stream")
    ),
]
_RELAY = [
    time_series(
        "Published events", "ops", rate("parley_session_relay_published_events_total", "stream")
    ),
    time_series(
        "Processes that lead a job",
        "none",
        gauge("parley_session_leader", "task, pod"),
        description="At least one for each task.",
        stacked=True,
    ),
    time_series(
        "Failures of the relay", "ops", rate("parley_session_relay_failures_total", "stream")
    ),
]
_PROJECTION = [
    time_series(
        "Time from an event to its projection",
        "s",
        *quantiles("parley_history_projection_delay_seconds"),
        description="The objective is 5 s for 99.9 %.",
    ),
    time_series(
        "Events that are not projected yet",
        "none",
        gauge("parley_history_projector_lag_events", "pod"),
        stacked=True,
    ),
    time_series(
        "Age of the oldest event that is read and not projected",
        "s",
        gauge("parley_history_projector_oldest_unprojected_age_seconds", "pod", aggregate="max"),
    ),
    time_series(
        "Projected events",
        "ops",
        rate("parley_history_projector_events_total", "pod"),
        stacked=True,
    ),
]
_PROBLEMS = [
    time_series(
        "Parked sessions and deferred events",
        "none",
        gauge("parley_history_parked_sessions", aggregate="max", legend="parked sessions"),
        gauge("parley_history_dead_letters", aggregate="max", legend="dead letters"),
        gauge("parley_history_deferred_events", aggregate="max", legend="deferred events"),
        description="All are 0 in normal operation.",
    ),
    time_series(
        "Partitions by projector",
        "none",
        gauge("parley_history_projector_partitions", "pod"),
        stacked=True,
    ),
    time_series(
        "Reads that wait for the projection",
        "none",
        gauge("parley_history_projection_waiters", "pod"),
    ),
]
_SEARCH = [
    time_series(
        "Age of the oldest change that is not indexed",
        "s",
        gauge("parley_history_search_index_lag_seconds", aggregate="max", legend="search index"),
    ),
    time_series(
        "Indexed messages", "ops", rate("parley_history_search_indexed_messages_total", "pod")
    ),
]
_KEYS_AND_ERASURES = [
    time_series(
        "Sessions whose erasure is due, and erased ones",
        "none",
        gauge("parley_session_erasures_due", aggregate="max", legend="due"),
        Query(
            f"sum by (reason) (increase({series('parley_session_sessions_erased_total')}"
            "[$__rate_interval]))",
            "erased: {{reason}}",
        ),
    ),
    time_series(
        "Keys by the master key that wraps them",
        "none",
        gauge("parley_session_wrapped_keys", "master_key", aggregate="max"),
        description="Counted hourly. A master key without any may be retired.",
        stacked=True,
    ),
    time_series(
        "Requests refused, because a master key cannot be used",
        "ops",
        rate("parley_session_key_unavailable_total", "master_key"),
    ),
    time_series(
        "Duration of calls to key services",
        "s",
        *quantiles("parley_session_key_service_call_duration_seconds", "adapter, operation"),
    ),
    time_series(
        "Calls to key services that failed",
        "ops",
        rate(
            "parley_session_key_service_call_duration_seconds_count",
            "adapter, operation",
            matchers='outcome="unavailable"',
        ),
    ),
]


def board() -> Board:
    return Board(
        "parley-log",
        "log and projection",
        [
            ("Event store and outbox", _EVENT_STORE),
            ("Relay", _RELAY),
            ("Projection", _PROJECTION),
            ("Problems", _PROBLEMS),
            ("Search", _SEARCH),
            ("Keys and erasures", _KEYS_AND_ERASURES),
        ],
    )
