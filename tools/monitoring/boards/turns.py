"""Turns and models: outcomes, latency, capacity, streams, tokens, model servers."""

from tools.monitoring.dashboard import Board, Panel, Query, quantiles, time_series

_IN = 'namespace=~"$namespace"'
_RATE = "[$__rate_interval]"


def board() -> Board:
    return Board(
        "parley-turns",
        "turns and models",
        [
            ("Turns", [_outcomes(), _failures(), _durations()]),
            ("First text", [_first_text(), _added_latency(), _first_token()]),
            ("Capacity", [_slots(), _streams(), _resumes()]),
            ("Model servers", [_circuits(), _upstream_failures(), _upstream_requests()]),
            ("Attempts", [_sent(), _retries(), _lost_turns()]),
            ("Tokens", [_tokens("prompt"), _tokens("completion"), _dropped_usage()]),
        ],
    )


def _outcomes() -> Panel:
    return time_series(
        "Turns that ended, by outcome",
        "ops",
        Query(
            f"sum by (outcome) (rate(parley_inference_turns_total{{{_IN}}}{_RATE}))", "{{outcome}}"
        ),
        Query(f"sum (rate(parley_session_turns_swept_total{{{_IN}}}{_RATE}))", "runner lost"),
        stacked=True,
    )


def _failures() -> Panel:
    return time_series(
        "Failed turns by code",
        "ops",
        Query(
            f'sum by (code) (rate(parley_inference_turns_total{{outcome="failed", {_IN}}}{_RATE}))',
            "{{code}}",
        ),
        description="`upstream_…` is the model server's; docs/troubleshooting.md has all codes.",
        stacked=True,
    )


def _durations() -> Panel:
    return time_series(
        "Duration of turns", "s", *quantiles("parley_inference_turn_duration_seconds")
    )


def _first_text() -> Panel:
    return time_series(
        "Time to the first text",
        "s",
        *quantiles("parley_gateway_time_to_first_delta_seconds"),
        description="From a request to the first text that a client gets.",
    )


def _added_latency() -> Panel:
    return time_series(
        "Parley's part of it",
        "s",
        *quantiles("parley_gateway_added_latency_seconds"),
        description="From a request until its turn runs; the objective is 100 ms for 99 %.",
    )


def _first_token() -> Panel:
    return time_series(
        "Model servers' part of it",
        "s",
        *quantiles("parley_inference_first_token_seconds", by="server"),
    )


def _slots() -> Panel:
    return time_series(
        "Running turns, and how many can run",
        "none",
        Query(f"sum by (pod) (parley_inference_turns_in_flight{{{_IN}}})", "{{pod}}"),
        Query(f"sum (parley_inference_turns_waiting{{{_IN}}})", "of them, waiting"),
        Query(f"sum (parley_inference_completions_in_flight{{{_IN}}})", "stateless completions"),
        Query(f"sum (parley_inference_turn_slots{{{_IN}}})", "slots for turns"),
    )


def _streams() -> Panel:
    return time_series(
        "Open requests for replies, and how many are admitted",
        "none",
        Query(f"sum by (kind) (parley_gateway_open_streams{{{_IN}}})", "{{kind}}"),
        Query(f"sum (parley_gateway_stream_limit{{{_IN}}})", "limit"),
    )


def _resumes() -> Panel:
    return time_series(
        "Broken streams",
        "ops",
        Query(
            f"sum (rate(parley_gateway_stream_resumes_total{{{_IN}}}{_RATE}))",
            "resumed or opened again by clients",
        ),
        Query(
            f"sum (rate(parley_gateway_reattaches_total{{{_IN}}}{_RATE}))",
            "attached again by gateways",
        ),
        Query(
            f"sum (rate(parley_inference_buffer_failures_total{{{_IN}}}{_RATE}))",
            "failed calls of Redis",
        ),
    )


def _circuits() -> Panel:
    return time_series(
        "Open circuits",
        "none",
        Query(
            f'sum by (server) (parley_inference_upstream_circuit{{state!="closed", {_IN}}})',
            "{{server}}",
        ),
        description="Processes that reject requests to a model server, because it failed.",
    )


def _upstream_failures() -> Panel:
    return time_series(
        "Failed requests to model servers",
        "reqps",
        Query(
            "sum by (server, code) "
            f"(rate(parley_inference_upstream_failures_total{{{_IN}}}{_RATE}))",
            "{{server}} {{code}}",
        ),
        stacked=True,
    )


def _upstream_requests() -> Panel:
    return time_series(
        "Requests that model servers process",
        "none",
        Query(
            f"sum by (server) (parley_inference_upstream_requests_in_flight{{{_IN}}})", "{{server}}"
        ),
        stacked=True,
    )


def _sent() -> Panel:
    return time_series(
        "Requests to model servers",
        "reqps",
        Query(
            f"sum by (server) (rate(parley_inference_upstream_requests_total{{{_IN}}}{_RATE}))",
            "{{server}}",
        ),
        description="Including retries.",
        stacked=True,
    )


def _retries() -> Panel:
    return time_series(
        "Retries and fallbacks",
        "reqps",
        Query(
            f"sum by (server) (rate(parley_inference_upstream_retries_total{{{_IN}}}{_RATE}))",
            "retry at {{server}}",
        ),
        Query(
            f"sum by (from, to) (rate(parley_inference_fallbacks_total{{{_IN}}}{_RATE}))",
            "{{from}} to {{to}}",
        ),
    )


def _lost_turns() -> Panel:
    return time_series(
        "Lost turns and heartbeats",
        "ops",
        Query(f"sum (rate(parley_inference_turns_lost_total{{{_IN}}}{_RATE}))", "lost turns"),
        Query(
            f"sum by (pod) (rate(parley_inference_heartbeat_failures_total{{{_IN}}}{_RATE}))",
            "failed heartbeats of {{pod}}",
        ),
        description="A process whose heartbeats fail for 10 s loses its turns.",
    )


def _tokens(kind: str) -> Panel:
    return time_series(
        f"Tokens of {'prompts' if kind == 'prompt' else 'replies'} by model",
        "cps",
        Query(
            f'sum by (model) (rate(parley_inference_tokens_total{{kind="{kind}", {_IN}}}{_RATE}))',
            "{{model}}",
        ),
        stacked=True,
    )


def _dropped_usage() -> Panel:
    return time_series(
        "Usage that was not recorded",
        "ops",
        Query(
            f"sum (rate(parley_inference_usage_records_dropped_total{{{_IN}}}{_RATE}))",
            "completions",
        ),
    )
