"""Log and projection: appends, outbox, relay, projector, dead letters, search index."""

from tools.monitoring.dashboard import Board, Panel, Query, quantiles, time_series

_IN = 'namespace=~"$namespace"'
_RATE = "[$__rate_interval]"


def board() -> Board:
    return Board(
        "parley-log",
        "log and projection",
        [
            ("Event store and outbox", [_appends(), _outbox_age(), _outbox_size()]),
            ("Relay", [_published(), _leaders(), _relay_failures()]),
            ("Projection", [_delay(), _lag(), _oldest(), _projected()]),
            ("Problems", [_parked(), _partitions(), _waiters()]),
            ("Search", [_index_lag(), _indexed()]),
            ("Keys and erasures", [_erasures(), _keys()]),
        ],
    )


def _appends() -> Panel:
    return time_series(
        "Duration of appends", "s", *quantiles("parley_session_append_duration_seconds")
    )


def _outbox_age() -> Panel:
    return time_series(
        "Age of the oldest event that Kafka lacks",
        "s",
        Query(f"max by (stream) (parley_session_outbox_oldest_age_seconds{{{_IN}}})", "{{stream}}"),
    )


def _outbox_size() -> Panel:
    return time_series(
        "Events that Kafka lacks",
        "none",
        Query(f"sum by (stream) (parley_session_outbox_pending_events{{{_IN}}})", "{{stream}}"),
    )


def _published() -> Panel:
    return time_series(
        "Published events",
        "ops",
        Query(
            f"sum by (stream) (rate(parley_session_relay_published_events_total{{{_IN}}}{_RATE}))",
            "{{stream}}",
        ),
    )


def _leaders() -> Panel:
    return time_series(
        "Processes that lead a job",
        "none",
        Query(f"sum by (task, pod) (parley_session_leader{{{_IN}}})", "{{task}} {{pod}}"),
        description="At least one for each task.",
        stacked=True,
    )


def _relay_failures() -> Panel:
    return time_series(
        "Failures of the relay",
        "ops",
        Query(
            f"sum by (stream) (rate(parley_session_relay_failures_total{{{_IN}}}{_RATE}))",
            "{{stream}}",
        ),
    )


def _delay() -> Panel:
    return time_series(
        "Time from an event to its projection",
        "s",
        *quantiles("parley_history_projection_delay_seconds"),
        description="The objective is 5 s for 99.9 %.",
    )


def _lag() -> Panel:
    return time_series(
        "Events that are not projected yet",
        "none",
        Query(f"sum by (pod) (parley_history_projector_lag_events{{{_IN}}})", "{{pod}}"),
        stacked=True,
    )


def _oldest() -> Panel:
    return time_series(
        "Age of the oldest event that is read and not projected",
        "s",
        Query(
            f"max by (pod) (parley_history_projector_oldest_unprojected_age_seconds{{{_IN}}})",
            "{{pod}}",
        ),
    )


def _projected() -> Panel:
    return time_series(
        "Projected events",
        "ops",
        Query(
            f"sum by (pod) (rate(parley_history_projector_events_total{{{_IN}}}{_RATE}))", "{{pod}}"
        ),
        stacked=True,
    )


def _parked() -> Panel:
    return time_series(
        "Sessions and events that do not go on",
        "none",
        Query(f"max (parley_history_parked_sessions{{{_IN}}})", "parked sessions"),
        Query(f"max (parley_history_dead_letters{{{_IN}}})", "dead letters"),
        Query(f"max (parley_history_deferred_events{{{_IN}}})", "deferred events"),
        description="All are 0 in normal operation.",
    )


def _partitions() -> Panel:
    return time_series(
        "Partitions by projector",
        "none",
        Query(f"sum by (pod) (parley_history_projector_partitions{{{_IN}}})", "{{pod}}"),
        stacked=True,
    )


def _waiters() -> Panel:
    return time_series(
        "Reads that wait for the projection",
        "none",
        Query(f"sum by (pod) (parley_history_projection_waiters{{{_IN}}})", "{{pod}}"),
    )


def _index_lag() -> Panel:
    return time_series(
        "Age of the oldest change that is not indexed",
        "s",
        Query(f"max (parley_history_search_index_lag_seconds{{{_IN}}})", "search index"),
    )


def _indexed() -> Panel:
    return time_series(
        "Indexed messages",
        "ops",
        Query(
            f"sum by (pod) (rate(parley_history_search_indexed_messages_total{{{_IN}}}{_RATE}))",
            "{{pod}}",
        ),
    )


def _erasures() -> Panel:
    return time_series(
        "Sessions whose erasure is due, and erased ones",
        "none",
        Query(f"max (parley_session_erasures_due{{{_IN}}})", "due"),
        Query(
            f"sum by (reason) (increase(parley_session_sessions_erased_total{{{_IN}}}{_RATE}))",
            "erased: {{reason}}",
        ),
    )


def _keys() -> Panel:
    return time_series(
        "Keys by the master key that wraps them",
        "none",
        Query(f"max by (master_key) (parley_session_wrapped_keys{{{_IN}}})", "{{master_key}}"),
        description="Counted hourly. A master key without any may be retired.",
        stacked=True,
    )
