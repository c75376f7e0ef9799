"""`parley up --monitoring`: Prometheus and Grafana, with the alerts and dashboards."""

import json
import os
import re
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import httpx2
import pytest

from parley_cli.engines import EngineError, free_port
from parley_cli.stack.supervision.service_process import ServiceProcess
from parley_cli.stack.up.addresses import Addresses
from parley_cli.stack.up.monitoring_programs import DASHBOARDS, Monitoring, configure_monitoring
from parley_testing.eventually import eventually
from tools.monitoring.promtool import find_prometheus

Configure = Callable[[], Monitoring]


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder of the PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


@pytest.fixture
def configure(tmp_path: Path) -> Configure:
    def configured() -> Monitoring:
        ports = iter(free_port, None)
        addresses = Addresses("127.0.0.1:8080", {"gateway": 2}, ports)
        return configure_monitoring(tmp_path / "data", addresses, ports)

    return configured


def install(program: Path) -> None:
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)


def test_a_missing_prometheus_is_reported_before_anything_starts(
    programs: Path, configure: Configure
) -> None:
    with pytest.raises(EngineError, match="package `prometheus`"):
        configure()


def test_every_process_is_a_target_with_the_labels_of_the_alerts(
    programs: Path, configure: Configure, tmp_path: Path
) -> None:
    install(programs / "prometheus")
    monitoring = configure()
    configuration = json.loads((tmp_path / "data/prometheus/prometheus.yml").read_text())
    (scrape,) = configuration["scrape_configs"]
    labels = [each["labels"] for each in scrape["static_configs"]]
    assert {each["pod"]: each["process"] for each in labels} == {
        "session": "session",
        "inference": "inference",
        "history-serve": "history-serve",
        "history-project": "history-project",
        "gateway": "gateway",
        "gateway-2": "gateway",
    }
    assert monitoring.grafana is None
    assert list(monitoring.urls()) == ["Alerts (Prometheus)"]


def test_an_installed_grafana_gets_the_data_source_and_the_dashboards(
    programs: Path, configure: Configure, tmp_path: Path
) -> None:
    install(programs / "prometheus")
    home = tmp_path / "share/grafana"
    install(home / "bin/grafana")
    (home / "conf").mkdir()
    (home / "conf/defaults.ini").touch()
    (programs / "grafana").symlink_to(home / "bin/grafana")
    monitoring = configure()
    assert monitoring.grafana is not None
    assert monitoring.grafana.command[1:] == ("server", "--homepath", str(home))
    provisioning = Path(monitoring.grafana.environment["GF_PATHS_PROVISIONING"])
    (source,) = _read(provisioning / "datasources/parley.yaml")["datasources"]
    assert source["url"] == f"http://{monitoring.prometheus.address}"
    (provider,) = _read(provisioning / "dashboards/parley.yaml")["providers"]
    assert list(Path(provider["options"]["path"]).glob("parley-*.json"))


@pytest.fixture
async def prometheus(
    programs: Path, configure: Configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[str]:
    """The address of a real Prometheus, whose targets do not answer."""
    monkeypatch.undo()
    installed = find_prometheus()
    if installed is None:
        assert os.environ.get("CI") != "true", "Prometheus is not installed"
        pytest.skip("Prometheus is not installed")
    (programs / "prometheus").symlink_to(installed.resolve())
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    process = ServiceProcess(configure().prometheus, tmp_path / "data")
    await process.start()
    yield process.address
    await process.stop(5)


async def test_prometheus_loads_every_rule_and_understands_every_expression_of_a_dashboard(
    prometheus: str,
) -> None:
    async def all_rules_are_evaluated() -> bool:
        groups = (await _answer(prometheus, "/api/v1/rules"))["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        # Evaluated at the interval of its group, up to 30 s; until then its health is unknown.
        assert {rule["health"] for rule in rules} <= {"ok", "unknown"}
        return len(rules) > 40

    await eventually(all_rules_are_evaluated)
    for path in DASHBOARDS.glob("*.json"):
        for expression in re.findall(r'"expr": (".*")', path.read_text()):
            query = json.loads(expression).replace("$namespace", ".*")
            query = query.replace("$__rate_interval", "1m")
            await _answer(prometheus, "/api/v1/query", query=query)


async def _answer(address: str, path: str, **parameters: str) -> Any:
    async with httpx2.AsyncClient(trust_env=False) as http:
        response = await http.get(f"http://{address}{path}", params=parameters)
    assert response.status_code == 200, (parameters, response.text)
    return response.json()["data"]


def _read(path: Path) -> Mapping[str, Any]:
    content: Mapping[str, Any] = json.loads(path.read_text())
    return content
