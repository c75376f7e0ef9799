"""Overview: the objectives, what is down and what that means, traffic and errors."""

from typing import Any

from tools.monitoring.dashboard import Board, Panel, Query, quantiles, stat, text, time_series

_OBJECTIVES = {
    "api": ("Requests", "Requests answered without a server error: 99.9 %."),
    "turns": ("Turns", "Turns that did not end by a fault of Parley's: 99.95 %."),
    "first_token": ("Start of replies", "Turns that ran within 100 ms of their request: 99 %."),
    "projection": ("History", "Events that history showed within 5 s: 99.9 %."),
}

# What people see in each outage, as in docs/architecture.md; and the runbooks.
_CACHED = "chat continues; history comes from caches, or 503"
_OUTAGES = (
    ("Kafka", "chat continues; reads of new messages wait, or get the older page", "OutboxOld"),
    ("history's PostgreSQL", _CACHED, "DependencyUnavailable"),
    ("history-project", "chat continues; reads of new messages wait", "ProjectionLag"),
    ("history-serve", _CACHED, "ProcessDown"),
    (
        "session's PostgreSQL",
        "no new replies; running ones continue and are saved later",
        "DependencyUnavailable",
    ),
    ("session", "no new replies; history that was read a moment ago", "ProcessDown"),
    (
        "Redis",
        "chat continues; a stream resumed elsewhere gets the rest when the reply ends",
        "RedisUnavailable",
    ),
    ("one inference process", "its replies end as `interrupted` within 15 s", "TurnsInterrupted"),
    ("one gateway", "clients reconnect and resume", "ProcessDown"),
    ("a model server", "retries, then fallback models, then `upstream_…` errors", "CircuitOpen"),
)


def board() -> Board:
    return Board(
        "parley-overview",
        "overview",
        [
            ("Error budget left of 28 days", [_budget_left(slo) for slo in _OBJECTIVES]),
            ("Alerts", [_burn_rates(), _firing_alerts()]),
            ("What is down", [_processes(), _dependencies(), _outages()]),
            ("Traffic", [_requests(), _errors(), _first_text()]),
            ("Versions", [_versions(), _draining()]),
        ],
    )


def _budget_left(slo: str) -> Panel:
    title, description = _OBJECTIVES[slo]
    selected = f'{{slo="{slo}", namespace=~"$namespace"}}'
    return stat(
        title,
        "percentunit",
        Query(
            f"1 - sum by (slo) (sum_over_time(parley_slo:bad:rate5m{selected}[28d]))"
            f" / sum by (slo) (sum_over_time(parley_slo:total:rate5m{selected}[28d]))"
            f' / max by (slo) (parley_slo:budget:ratio{{slo="{slo}"}})',
            title,
        ),
        red_below=0,
        green_from=0.25,
        description=f"{description} Below 0 % the objective was missed.",
    )


def _burn_rates() -> Panel:
    return time_series(
        "Burn rate of the last hour",
        "none",
        Query(
            'max by (slo) (parley_slo:error_ratio:rate1h{namespace=~"$namespace"}'
            " / on (slo) group_left () parley_slo:budget:ratio)",
            "{{slo}}",
        ),
        description="1 uses up the budget in 28 days; alerts fire at 14.4 and 6.",
    )


def _firing_alerts() -> Panel:
    link = {"title": "Runbook", "url": "${runbooks}/${__data.fields.alertname}.md"}
    return Panel(
        "Firing alerts",
        "table",
        "none",
        [Query('ALERTS{alertname=~"Parley.+", alertstate="firing", namespace=~"$namespace"}', "")],
        defaults={"noValue": "none"},
        overrides=[
            {
                "matcher": {"id": "byName", "options": "alertname"},
                "properties": [{"id": "links", "value": [{**link, "targetBlank": True}]}],
            }
        ],
        transformations=[_without("Time", "Value", "__name__", "alertstate")],
        is_instant=True,
    )


def _processes() -> Panel:
    return _state_table(
        "Replicas that answer scrapes",
        Query('sum by (process) (up{job="parley", namespace=~"$namespace"})', ""),
    )


def _dependencies() -> Panel:
    return _state_table(
        "Dependencies that answer (1) or not (0)",
        Query(
            'min by (dependency, process) (parley_dependency_up{namespace=~"$namespace"})',
            "",
        ),
    )


def _state_table(title: str, query: Query) -> Panel:
    steps = [{"color": "red", "value": None}, {"color": "green", "value": 1}]
    return Panel(
        title,
        "table",
        "none",
        [query],
        defaults={
            "thresholds": {"mode": "absolute", "steps": steps},
            "custom": {"cellOptions": {"type": "color-text"}},
        },
        transformations=[_without("Time")],
        height=9,
        is_instant=True,
    )


def _outages() -> Panel:
    lines = ["| down | what people see | runbook |", "|---|---|---|"]
    lines += [
        f"| {down} | {effect} | [{alert}](${{runbooks}}/Parley{alert}.md) |"
        for down, effect, alert in _OUTAGES
    ]
    return text("Outages", "\n".join(lines), height=9)


def _without(*columns: str) -> dict[str, Any]:
    excluded = dict.fromkeys(columns, True)
    return {"id": "organize", "options": {"excludeByName": excluded}}


def _requests() -> Panel:
    return time_series(
        "Requests by route",
        "reqps",
        Query(
            "sum by (route) (rate(http_server_request_duration_seconds_count"
            '{process="gateway", namespace=~"$namespace"}[$__rate_interval]))',
            "{{route}}",
        ),
        stacked=True,
    )


def _errors() -> Panel:
    return time_series(
        "Errors by code",
        "reqps",
        Query(
            'sum by (code) (rate(parley_http_errors_total{process="gateway", '
            'namespace=~"$namespace"}[$__rate_interval]))',
            "{{code}}",
        ),
        description="Of the gateway; the table of codes is in docs/api.md.",
        stacked=True,
    )


def _first_text() -> Panel:
    return time_series(
        "Time to the first text of a reply",
        "s",
        *quantiles("parley_gateway_time_to_first_delta_seconds"),
        description="Including the model server's part.",
    )


def _versions() -> Panel:
    return time_series(
        "Replicas by version",
        "none",
        Query(
            'count by (process, version, revision) (parley_build_info{namespace=~"$namespace"})',
            "{{process}} {{version}} {{revision}}",
        ),
        stacked=True,
    )


def _draining() -> Panel:
    return time_series(
        "Replicas that shut down",
        "none",
        Query('sum by (process) (parley_draining{namespace=~"$namespace"})', "{{process}}"),
    )
