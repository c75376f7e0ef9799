"""Prometheus metrics of the inference service, read from its components at each scrape."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from parley_contracts.api_models import Turn
from parley_core.runtime.circuit_breaker import State
from parley_inference.api.routes import TurnStreams
from parley_inference.completions.service import CompletionService
from parley_inference.completions.usage_reporter import UsageReporter
from parley_inference.models.model_catalogue import ModelCatalogue
from parley_inference.models.openai_provider import OpenAIProvider
from parley_inference.session.usage_record import UsageRecord
from parley_inference.streaming.turn_buffering import TurnBuffering
from parley_inference.turns.heartbeat import HeartbeatLoop
from parley_inference.turns.running_turns import RunningTurns

_CIRCUIT_STATES: tuple[State, ...] = ("closed", "half_open", "open")
_TURN_BUCKETS = (0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
_FIRST_TOKEN_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class TurnMetrics:
    """Outcomes, durations and tokens of the replies that this process has produced."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._turns = Counter(
            "parley_inference_turns",
            "Turns that ended here, by status and error code.",
            ["outcome", "code"],
            registry=registry,
        )
        self._durations = Histogram(
            "parley_inference_turn_duration_seconds",
            "Time from the claim of a turn until its end was committed.",
            buckets=_TURN_BUCKETS,
            registry=registry,
        )
        self._tokens = Counter(
            "parley_inference_tokens",
            "Tokens of prompts and replies; some model servers do not count them.",
            ["model", "kind", "estimated"],
            registry=registry,
        )

    def observe_turn(self, turn: Turn, seconds: float) -> None:
        code = turn.error.code if turn.error is not None else None
        self._turns.labels(turn.status, code or "").inc()
        self._durations.observe(seconds)
        if turn.reply is not None and turn.reply.usage is not None:
            usage = turn.reply.usage
            self._count(
                turn.reply.model,
                usage.prompt_tokens,
                usage.completion_tokens,
                estimated=usage.estimated,
            )

    def observe_completion(self, record: UsageRecord) -> None:
        usage = record.usage
        self._count(
            record.model, usage.prompt_tokens, usage.completion_tokens, estimated=usage.estimated
        )

    def _count(self, model: str | None, prompt: int, completion: int, *, estimated: bool) -> None:
        for kind, tokens in (("prompt", prompt), ("completion", completion)):
            self._tokens.labels(model or "", kind, str(estimated).lower()).inc(tokens)


class InferenceCollector(Collector):
    """Also observes the first tokens of the provider."""

    def __init__(
        self,
        registry: CollectorRegistry,
        *,
        turns: RunningTurns,
        streams: TurnStreams,
        buffering: TurnBuffering | None,
        provider: OpenAIProvider,
        catalogue: ModelCatalogue,
        heartbeats: HeartbeatLoop,
        completions: CompletionService,
        usage_reporter: UsageReporter,
    ) -> None:
        self._turns, self._streams, self._buffering = turns, streams, buffering
        self._servers, self._catalogue = provider.servers, catalogue
        self._heartbeats = heartbeats
        self._completions, self._usage_reporter = completions, usage_reporter
        first_token = Histogram(
            "parley_inference_first_token_seconds",
            "Time from a request to a model server to the first text of its reply.",
            ["server"],
            buckets=_FIRST_TOKEN_BUCKETS,
            registry=registry,
        )
        provider.observe_first_text = lambda server, seconds: first_token.labels(server).observe(
            seconds
        )
        registry.register(self)

    def collect(self) -> Iterable[Metric]:
        yield GaugeMetricFamily(
            "parley_inference_turns_in_flight",
            "Turns that this process runs, with those that wait for a slot.",
            value=len(self._turns.owned),
        )
        yield GaugeMetricFamily(
            "parley_inference_turns_waiting",
            "Accepted turns that wait until another turn of this process ends.",
            value=self._turns.waiting,
        )
        yield GaugeMetricFamily(
            "parley_inference_turn_slots",
            "Turns that this process runs at once.",
            value=self._turns.max_turns,
        )
        yield GaugeMetricFamily(
            "parley_inference_remote_turns",
            "Turns of other processes that are streamed by this one.",
            value=self._turns.followed,
        )
        yield CounterMetricFamily(
            "parley_inference_turns_lost",
            "Turns that this process ran, and that session had ended or given to another one.",
            value=self._turns.lost,
        )
        yield CounterMetricFamily(
            "parley_inference_heartbeat_failures",
            "Heartbeats that session did not accept.",
            value=self._heartbeats.failures,
        )
        yield GaugeMetricFamily(
            "parley_inference_stream_subscribers",
            "Open streams of turns.",
            value=self._streams.subscribers,
        )
        yield CounterMetricFamily(
            "parley_inference_buffer_failures",
            "Failed reads and writes of turn buffers in Redis.",
            value=self._buffering.failures if self._buffering else 0,
        )
        yield GaugeMetricFamily(
            "parley_inference_completions_in_flight",
            "Stateless completions that run now.",
            value=self._completions.in_flight,
        )
        yield CounterMetricFamily(
            "parley_inference_usage_records_dropped",
            "Completions whose usage could not be reported to the session service.",
            value=self._usage_reporter.dropped,
        )
        yield from self._upstream_metrics()

    def _upstream_metrics(self) -> Iterable[Metric]:
        sent = CounterMetricFamily(
            "parley_inference_upstream_requests",
            "Requests to a model server, retries included.",
            labels=["server"],
        )
        retries = CounterMetricFamily(
            "parley_inference_upstream_retries",
            "Requests that were sent again after a failure that may pass.",
            labels=["server"],
        )
        requests = GaugeMetricFamily(
            "parley_inference_upstream_requests_in_flight",
            "Requests that a model server is processing.",
            labels=["server"],
        )
        circuit = GaugeMetricFamily(
            "parley_inference_upstream_circuit",
            "State of a model server's circuit breaker: 1 for the current state, 0 for the others.",
            labels=["server", "state"],
        )
        failures = CounterMetricFamily(
            "parley_inference_upstream_failures",
            "Failed requests to a model server, by failure code.",
            labels=["server", "code"],
        )
        for server in self._servers.values():
            sent.add_metric([server.name], server.requests)
            retries.add_metric([server.name], server.retries)
            requests.add_metric([server.name], server.requests_in_flight)
            for state in _CIRCUIT_STATES:
                is_current = server.circuit.state == state
                circuit.add_metric([server.name, state], int(is_current))
            for code, count in server.failures.items():
                failures.add_metric([server.name, code], count)
        fallbacks = CounterMetricFamily(
            "parley_inference_fallbacks",
            "Calls of a fallback, because the model before it had failed.",
            labels=["from", "to"],
        )
        for (failed, called), count in self._catalogue.fallbacks.items():
            fallbacks.add_metric([failed, called], count)
        return sent, retries, requests, circuit, failures, fallbacks
