"""Tracing is off without a collector, and configured by OpenTelemetry's variables."""

import asyncio
import os
import subprocess
import sys
import time

import pytest

from parley_core.runtime.settings import InvalidSettings
from parley_core.tracing.setup import TracingSettings, configure_tracing
from parley_core.tracing.spans import (
    finish_tracing,
    is_tracing,
    new_trace,
    span,
)
from parley_testing.otlp_receiver import OTLPReceiver

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
# Nobody listens there.
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [each for each in os.environ if each.startswith("OTEL_")]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"OTEL_TRACES_SAMPLER": "always_on"},
        {ENDPOINT: NOWHERE, "OTEL_SDK_DISABLED": "true"},
        {ENDPOINT: NOWHERE, "OTEL_TRACES_EXPORTER": "none"},
    ],
)
def test_tracing_is_off_unless_a_collector_is_set(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    configure_tracing("test")
    assert not is_tracing()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (ENDPOINT, "collector:4318"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_TRACES_SAMPLER", "sometimes"),
        ("OTEL_TRACES_SAMPLER_ARG", "10"),
    ],
)
def test_a_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(InvalidSettings, match=name):
        configure_tracing("test")


def test_a_variable_that_the_sdk_refuses_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENDPOINT, NOWHERE)
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "-1")
    with pytest.raises(InvalidSettings, match="OTEL_BSP"):
        configure_tracing("test")
    assert not is_tracing()


def test_a_collector_without_the_packages_is_an_error_that_names_the_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(ENDPOINT, NOWHERE)
    monkeypatch.setitem(sys.modules, "parley_core.tracing.sdk_provider", None)
    with pytest.raises(InvalidSettings, match=r"parley-core\[tracing\]"):
        configure_tracing("test")


@pytest.mark.parametrize(
    ("sampler", "argument", "share"),
    [
        ("parentbased_traceidratio", 0.1, 0.1),
        ("traceidratio", None, 1.0),
        ("always_off", None, 0.0),
        ("parentbased_always_on", 0.1, 1.0),
    ],
)
def test_the_sampler_says_which_share_is_recorded(
    sampler: str, argument: float | None, share: float
) -> None:
    settings = TracingSettings.model_validate(
        {"traces_sampler": sampler, "traces_sampler_arg": argument}
    )
    assert settings.sampled_share == share


async def test_spans_reach_the_collector_at_the_end_of_the_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with OTLPReceiver.running() as receiver:
        monkeypatch.setenv(ENDPOINT, receiver.url)
        monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
        configure_tracing("gateway")
        with new_trace("GET", "server"), span("part"):
            pass
        await asyncio.to_thread(finish_tracing)
    assert {(each.service, each.name) for each in receiver.spans()} == {
        ("parley-gateway", "GET"),
        ("parley-gateway", "part"),
    }
    assert b"deployment.environment.name" in b"".join(receiver.bodies)


def test_an_exit_does_not_wait_for_a_collector_that_is_unavailable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(ENDPOINT, NOWHERE)
    configure_tracing("test")
    with new_trace("GET", "server"):
        pass
    started_at = time.monotonic()
    finish_tracing()
    assert time.monotonic() - started_at < 10


def test_a_process_that_is_not_traced_imports_neither_tracer_nor_exporter() -> None:
    # redis-py imports the SDK's metrics wherever the SDK is installed.
    script = (
        "import sys, parley_session.app, parley_core.http.server\n"
        "from parley_core.tracing.setup import configure_tracing\n"
        "configure_tracing('session')\n"
        "unwanted = ('opentelemetry.sdk.trace', 'opentelemetry.exporter')\n"
        "assert not [name for name in sys.modules if name.startswith(unwanted)]"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
