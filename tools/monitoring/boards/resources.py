"""Resources: processor, memory, event loops, connections, pools, page caches, calls."""

from tools.monitoring.dashboard import Board, Panel, Query, quantiles, time_series

# Other jobs of the namespace have process_* metrics, too.
_IN = 'job="parley", namespace=~"$namespace"'
_RATE = "[$__rate_interval]"


def board() -> Board:
    return Board(
        "parley-resources",
        "resources",
        [
            ("Processes", [_processor(), _memory(), _event_loops()]),
            ("Connections", [_connections(), _refused(), _files()]),
            ("PostgreSQL", [_pools(), _pool_waits()]),
            ("Page cache of the gateways", [_page_lookups(), _page_bytes()]),
            ("Calls between services", [_calls(), _failed_calls()]),
            ("Settings", [_reloads(), _wrong_files()]),
        ],
    )


def _processor() -> Panel:
    return time_series(
        "Cores in use",
        "none",
        Query(f"rate(process_cpu_seconds_total{{{_IN}}}{_RATE})", "{{pod}}"),
        description="A process has one event loop: near 1 it is at its limit.",
    )


def _memory() -> Panel:
    return time_series(
        "Resident memory",
        "bytes",
        Query(f"process_resident_memory_bytes{{{_IN}}}", "{{pod}}"),
    )


def _event_loops() -> Panel:
    return time_series(
        "Lag of event loops, p99",
        "s",
        quantiles("parley_event_loop_lag_seconds", by="pod")[1],
    )


def _connections() -> Panel:
    return time_series(
        "Open connections of clients",
        "none",
        Query(f"parley_connections{{{_IN}}}", "{{pod}}"),
    )


def _refused() -> Panel:
    return time_series(
        "Refused connections",
        "ops",
        Query(
            f"sum by (pod, limit) (rate(parley_connections_refused_total{{{_IN}}}{_RATE}))",
            "{{pod}}, limit {{limit}}",
        ),
    )


def _files() -> Panel:
    return time_series(
        "File descriptors of the limit",
        "percentunit",
        Query(f"process_open_fds{{{_IN}}} / process_max_fds{{{_IN}}}", "{{pod}}"),
    )


def _pools() -> Panel:
    return time_series(
        "Connections to PostgreSQL",
        "none",
        Query(
            f"sum by (process, state) (parley_postgres_pool_connections{{{_IN}}})",
            "{{process}} {{state}}",
        ),
        stacked=True,
    )


def _pool_waits() -> Panel:
    return time_series(
        "Wait for a connection",
        "s",
        *quantiles("parley_postgres_pool_wait_seconds", by="process"),
    )


def _page_lookups() -> Panel:
    return time_series(
        "Lookups of history pages",
        "ops",
        Query(
            f"sum by (outcome) (rate(parley_gateway_page_cache_lookups_total{{{_IN}}}{_RATE}))",
            "{{outcome}}",
        ),
        stacked=True,
    )


def _page_bytes() -> Panel:
    return time_series(
        "Memory of cached pages",
        "bytes",
        Query(f"parley_gateway_page_cache_bytes{{{_IN}}}", "{{pod}}"),
    )


def _calls() -> Panel:
    return time_series(
        "Duration of calls, p99",
        "s",
        quantiles("parley_service_call_duration_seconds", by="process, callee")[1],
    )


def _failed_calls() -> Panel:
    return time_series(
        "Calls without success",
        "reqps",
        Query(
            "sum by (process, callee, outcome) (rate(parley_service_call_duration_seconds_count"
            f'{{outcome!="ok", {_IN}}}{_RATE}))',
            "{{process}} to {{callee}}: {{outcome}}",
        ),
        stacked=True,
    )


def _reloads() -> Panel:
    return time_series(
        "Changed files, by outcome",
        "ops",
        Query(
            f"sum by (process, outcome) (rate(parley_config_reloads_total{{{_IN}}}{_RATE}))",
            "{{process}} {{outcome}}",
        ),
    )


def _wrong_files() -> Panel:
    return time_series(
        "Processes with a wrong file",
        "none",
        Query(f"sum by (process) (parley_config_reload_failed{{{_IN}}})", "{{process}}"),
    )
