"""Turns and models: outcomes, latency, capacity, streams, tokens, model servers."""

from tools.monitoring.dashboard import Board, Panel, gauge, quantiles, rate, time_series

_TURNS = [
    time_series(
        "Turns that ended, by outcome",
        "ops",
        rate("parley_inference_turns_total", "outcome"),
        rate("parley_session_turns_swept_total", legend="runner lost"),
        stacked=True,
    ),
    time_series(
        "Failed turns by code",
        "ops",
        rate("parley_inference_turns_total", "code", matchers='outcome="failed"'),
        description="`upstream_…` is the model server's; docs/troubleshooting.md has all codes.",
        stacked=True,
    ),
    time_series("Duration of turns", "s", *quantiles("parley_inference_turn_duration_seconds")),
]
_FIRST_TEXT = [
    time_series(
        "Time to the first text",
        "s",
        *quantiles("parley_gateway_time_to_first_delta_seconds"),
        description="From a request to the first text that a client gets.",
    ),
    time_series(
        "Parley's part of it",
        "s",
        *quantiles("parley_gateway_added_latency_seconds"),
        description="From a request until its turn runs; the objective is 100 ms for 99 %.",
    ),
    time_series(
        "Model servers' part of it",
        "s",
        *quantiles("parley_inference_first_token_seconds", by="server"),
    ),
]
_CAPACITY = [
    time_series(
        "Running turns, and how many can run",
        "none",
        gauge("parley_inference_turns_in_flight", "pod"),
        gauge("parley_inference_turns_waiting", legend="of them, waiting"),
        gauge("parley_inference_completions_in_flight", legend="stateless completions"),
        gauge("parley_inference_turn_slots", legend="slots for turns"),
    ),
    time_series(
        "Open requests for replies, and how many are admitted",
        "none",
        gauge("parley_gateway_open_streams", "kind"),
        gauge("parley_gateway_stream_limit", legend="limit"),
    ),
    time_series(
        "Broken streams",
        "ops",
        rate("parley_gateway_stream_resumes_total", legend="resumed or opened again by clients"),
        rate("parley_gateway_reattaches_total", legend="attached again by gateways"),
        rate("parley_inference_buffer_failures_total", legend="failed calls of Redis"),
    ),
]
_MODEL_SERVERS = [
    time_series(
        "Open circuits",
        "none",
        gauge("parley_inference_upstream_circuit", "server", matchers='state!="closed"'),
        description="Processes that reject requests to a model server, because it failed.",
    ),
    time_series(
        "Failed requests to model servers",
        "reqps",
        rate("parley_inference_upstream_failures_total", "server, code"),
        stacked=True,
    ),
    time_series(
        "Requests that model servers process",
        "none",
        gauge("parley_inference_upstream_requests_in_flight", "server"),
        stacked=True,
    ),
]
_ATTEMPTS = [
    time_series(
        "Requests to model servers",
        "reqps",
        rate("parley_inference_upstream_requests_total", "server"),
        description="Including retries.",
        stacked=True,
    ),
    time_series(
        "Retries and fallbacks",
        "reqps",
        rate("parley_inference_upstream_retries_total", "server", legend="retry at {{server}}"),
        rate("parley_inference_fallbacks_total", "from, to", legend="{{from}} to {{to}}"),
    ),
    time_series(
        "Lost turns and heartbeats",
        "ops",
        rate("parley_inference_turns_lost_total", legend="lost turns"),
        rate(
            "parley_inference_heartbeat_failures_total",
            "pod",
            legend="failed heartbeats of {{pod}}",
        ),
        description="A process whose heartbeats fail for 10 s loses its turns.",
    ),
]


def board() -> Board:
    return Board(
        "parley-turns",
        "turns and models",
        [
            ("Turns", _TURNS),
            ("First text", _FIRST_TEXT),
            ("Capacity", _CAPACITY),
            ("Model servers", _MODEL_SERVERS),
            ("Attempts", _ATTEMPTS),
            (
                "Tokens",
                [
                    _tokens("prompt", "Tokens of prompts by model"),
                    _tokens("completion", "Tokens of replies by model"),
                    time_series(
                        "Usage that was not recorded",
                        "ops",
                        rate("parley_inference_usage_records_dropped_total", legend="completions"),
                    ),
                ],
            ),
        ],
    )


def _tokens(kind: str, title: str) -> Panel:
    tokens = rate("parley_inference_tokens_total", "model", matchers=f'kind="{kind}"')
    return time_series(title, "cps", tokens, stacked=True)
