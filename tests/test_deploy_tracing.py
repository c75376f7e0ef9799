"""The component for traces sets up every process, and its network policy fits it."""

from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from parley_core.runtime.settings import load
from parley_core.tracing.setup import TracingSettings
from tools.manifests import render_extra_components

ROOT = Path(__file__).parents[1]


def test_the_component_for_traces_reaches_every_process_and_its_policy_the_collector(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(ROOT)
    rendered = render_extra_components()
    deployments = [each for each in rendered if each["kind"] == "Deployment"]
    assert len(deployments) == 5
    policy_file = ROOT / "deploy/k8s/components/tracing/collector-policy.yaml"
    policy = yaml.safe_load(policy_file.read_text())
    (egress,) = policy["spec"]["egress"]
    for deployment in deployments:
        container = deployment["spec"]["template"]["spec"]["containers"][0]
        variables = {each["name"]: each["value"] for each in container["env"]}
        with monkeypatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            tracing = load(TracingSettings)  # Raises InvalidSettings.
        assert tracing.is_on
        assert 0 < tracing.sampled_share < 1
        assert tracing.exporter_otlp_endpoint is not None
        collector = urlsplit(tracing.exporter_otlp_endpoint)
        assert egress["ports"] == [{"port": collector.port}]
        assert str(collector.hostname).endswith(
            "." + egress["to"][0]["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
        )
