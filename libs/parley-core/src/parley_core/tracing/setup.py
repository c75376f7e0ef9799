"""Turns tracing on where the standard OpenTelemetry variables name a collector."""

from typing import Annotated, Literal

from pydantic import Field

from parley_core.runtime.settings import BaseUrl, InvalidSettings, Settings, load
from parley_core.tracing.spans import use_tracer


class TracingSettings(Settings, env_prefix="OTEL_"):
    """The variables that Parley documents; the SDK reads these and all others of its own.

    Source: https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
    """

    exporter_otlp_endpoint: BaseUrl | None = Field(
        default=None,
        description="the base URL of an OpenTelemetry collector, such as http://collector:4318; "
        "without one nothing is traced",
    )
    exporter_otlp_traces_endpoint: BaseUrl | None = Field(
        default=None,
        description="the URL for traces alone, such as http://collector:4318/v1/traces",
    )
    exporter_otlp_protocol: Literal["http/protobuf"] = Field(
        default="http/protobuf", description="http/protobuf, the one protocol there is"
    )
    traces_exporter: Literal["otlp", "none"] = Field(
        default="otlp", description="otlp, or none to trace nothing"
    )
    traces_sampler: Literal[
        "always_on",
        "always_off",
        "traceidratio",
        "parentbased_always_on",
        "parentbased_always_off",
        "parentbased_traceidratio",
    ] = Field(
        default="parentbased_always_on",
        description="how the gateway chooses the traces to record: parentbased_always_on, or "
        "parentbased_traceidratio for a share of them; the other services follow it",
    )
    traces_sampler_arg: Annotated[float | None, Field(ge=0, le=1)] = Field(
        default=None, description="the share of traces to record, from 0 to 1, such as 0.1"
    )
    resource_attributes: str | None = Field(
        default=None,
        description="more attributes of the process, such as deployment.environment.name=test",
    )
    sdk_disabled: bool = Field(default=False, description="true to trace nothing, or false")

    @property
    def is_on(self) -> bool:
        endpoint = self.exporter_otlp_traces_endpoint or self.exporter_otlp_endpoint
        return endpoint is not None and self.traces_exporter == "otlp" and not self.sdk_disabled

    @property
    def sampled_share(self) -> float:
        """The share of new traces that is recorded."""
        match self.traces_sampler:
            case "always_on" | "parentbased_always_on":
                return 1.0
            case "always_off" | "parentbased_always_off":
                return 0.0
            case "traceidratio" | "parentbased_traceidratio":
                return 1.0 if self.traces_sampler_arg is None else self.traces_sampler_arg


def configure_tracing(service: str) -> None:
    """Trace this process, until `finish_tracing`, if a collector is set. Raises InvalidSettings."""
    settings = load(TracingSettings)
    if not settings.is_on:
        return
    try:
        # A process that is not traced loads none of it.
        from parley_core.tracing.sdk_provider import background_export, new_tracer
    except ImportError:
        raise InvalidSettings(
            "OTEL_EXPORTER_OTLP_ENDPOINT is set, but the packages that tracing needs are not "
            "installed. Install parley-core[tracing], or unset the variable."
        ) from None
    try:
        use_tracer(new_tracer(service, settings.sampled_share, background_export()))
    except ValueError as error:
        # The class alone: a message may quote a header with a password.
        raise InvalidSettings(
            "OpenTelemetry refuses the value of a variable OTEL_EXPORTER_OTLP_… or OTEL_BSP_…: "
            f"{type(error).__name__}."
        ) from None
