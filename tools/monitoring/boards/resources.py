"""Resources: processor, memory, event loops, connections, pools, page caches, calls."""

from tools.monitoring.dashboard import Board, Query, gauge, quantiles, rate, series, time_series

# Other jobs of the namespace have process_* metrics, too.
_OURS = 'job="parley"'
_PROCESSES = [
    time_series(
        "Cores in use",
        "none",
        Query(f"rate({series('process_cpu_seconds_total', _OURS)}[$__rate_interval])", "{{pod}}"),
        description="A process has one event loop: near 1 it is at its limit.",
    ),
    time_series(
        "Resident memory",
        "bytes",
        Query(series("process_resident_memory_bytes", _OURS), "{{pod}}"),
    ),
    time_series(
        "Lag of event loops, p99", "s", quantiles("parley_event_loop_lag_seconds", by="pod")[1]
    ),
]
_CONNECTIONS = [
    time_series(
        "Open connections of clients", "none", Query(series("parley_connections", _OURS), "{{pod}}")
    ),
    time_series(
        "Refused connections",
        "ops",
        rate(
            "parley_connections_refused_total",
            "pod, limit",
            matchers=_OURS,
            legend="{{pod}}, limit {{limit}}",
        ),
    ),
    time_series(
        "File descriptors of the limit",
        "percentunit",
        Query(
            f"{series('process_open_fds', _OURS)} / {series('process_max_fds', _OURS)}", "{{pod}}"
        ),
    ),
]
_POSTGRES = [
    time_series(
        "Connections to PostgreSQL",
        "none",
        gauge("parley_postgres_pool_connections", "process, state", matchers=_OURS),
        stacked=True,
    ),
    time_series(
        "Wait for a connection", "s", *quantiles("parley_postgres_pool_wait_seconds", by="process")
    ),
]
_PAGE_CACHE = [
    time_series(
        "Lookups of history pages",
        "ops",
        rate("parley_gateway_page_cache_lookups_total", "outcome", matchers=_OURS),
        stacked=True,
    ),
    time_series(
        "Memory of cached pages",
        "bytes",
        Query(series("parley_gateway_page_cache_bytes", _OURS), "{{pod}}"),
    ),
]
_CALLS = [
    time_series(
        "Duration of calls, p99",
        "s",
        quantiles("parley_service_call_duration_seconds", by="process, callee")[1],
    ),
    time_series(
        "Calls without success",
        "reqps",
        rate(
            "parley_service_call_duration_seconds_count",
            "process, callee, outcome",
            matchers=f'outcome!="ok", {_OURS}',
            legend="{{process}} to {{callee}}: {{outcome}}",
        ),
        stacked=True,
    ),
]
_SETTINGS = [
    time_series(
        "Changed files, by outcome",
        "ops",
        rate("parley_config_reloads_total", "process, outcome", matchers=_OURS),
    ),
    time_series(
        "Processes with a wrong file",
        "none",
        gauge("parley_config_reload_failed", "process", matchers=_OURS),
    ),
]


def board() -> Board:
    return Board(
        "parley-resources",
        "resources",
        [
            ("Processes", _PROCESSES),
            ("Connections", _CONNECTIONS),
            ("PostgreSQL", _POSTGRES),
            ("Page cache of the gateways", _PAGE_CACHE),
            ("Calls between services", _CALLS),
            ("Settings", _SETTINGS),
        ],
    )
