"""Prometheus and Grafana of `parley up --monitoring`, with the rules and dashboards of a checkout.

Both must be installed; without Grafana, Prometheus runs alone. They listen on this machine only.
https://prometheus.io/docs/prometheus/latest/configuration/configuration/
https://grafana.com/docs/grafana/latest/administration/provisioning/
"""

import json
import logging
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parley_cli.engines import EngineError
from parley_cli.stack.chat_page import ROOT
from parley_cli.stack.supervision.service_process import ProcessSpec
from parley_cli.stack.up.addresses import LOOPBACK, Addresses, join_host_port, replica_name

COMPONENT = ROOT / "deploy" / "k8s" / "components" / "monitoring"
RULES, DASHBOARDS = COMPONENT / "parley.rules.yaml", COMPONENT / "dashboards"

# The alerts look at five minutes and more; a person who tries things out, at seconds.
SCRAPE_INTERVAL = "5s"
EVALUATION_INTERVAL = "15s"
# Some 3,000 series of a small stack take about 20 MB a day.
RETENTION_TIME, RETENTION_SIZE = "7d", "1GB"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Monitoring:
    prometheus: ProcessSpec
    grafana: ProcessSpec | None

    @property
    def processes(self) -> list[ProcessSpec]:
        return [each for each in (self.prometheus, self.grafana) if each]

    def urls(self) -> Mapping[str, str]:
        """What to open in a browser."""
        urls = {"Alerts (Prometheus)": f"http://{self.prometheus.address}/alerts"}
        if self.grafana:
            urls["Dashboards (Grafana)"] = f"http://{self.grafana.address}/dashboards"
        return urls


def configure_monitoring(data: Path, addresses: Addresses, ports: Iterator[int]) -> Monitoring:
    """Write their configuration to the data folder. Raises EngineError if Prometheus is missing."""
    if not RULES.is_file():
        raise EngineError("`parley up --monitoring` needs a checkout of Parley's repository.")
    program = shutil.which("prometheus")
    if program is None:
        raise EngineError(
            "Prometheus is not installed: install Debian's package `prometheus`, or on macOS run "
            "`brew install prometheus grafana`, or start without --monitoring."
        )
    prometheus = _prometheus(
        program, data / "prometheus", join_host_port(LOOPBACK, next(ports)), addresses
    )
    grafana = _grafana(
        data / "grafana", join_host_port(LOOPBACK, next(ports)), f"http://{prometheus.address}"
    )
    if grafana is None:
        _log.warning("Grafana is not installed, so the dashboards of %s are not shown", DASHBOARDS)
    return Monitoring(prometheus, grafana)


def _prometheus(program: str, folder: Path, address: str, addresses: Addresses) -> ProcessSpec:
    targets = [
        {
            "targets": [addresses.management(name)],
            # The labels that pod-monitor.yaml sets on Kubernetes.
            "labels": {"namespace": "local", "pod": name, "process": service},
        }
        for service, index in addresses.replicas()
        for name in [replica_name(service, index)]
    ]
    configuration = folder / "prometheus.yml"
    _write(
        configuration,
        {
            "global": {
                "scrape_interval": SCRAPE_INTERVAL,
                "evaluation_interval": EVALUATION_INTERVAL,
            },
            "rule_files": [str(RULES)],
            "scrape_configs": [{"job_name": "parley", "static_configs": targets}],
        },
    )
    command = (
        program,
        f"--config.file={configuration}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--storage.tsdb.retention.time={RETENTION_TIME}",
        f"--storage.tsdb.retention.size={RETENTION_SIZE}",
        f"--web.listen-address={address}",
        "--log.level=warn",
    )
    return ProcessSpec("prometheus", command, {}, address, ready_path="/-/ready")


def _grafana(folder: Path, address: str, prometheus_url: str) -> ProcessSpec | None:
    """None if Grafana is not installed."""
    program = shutil.which("grafana-server") or shutil.which("grafana")
    home = _grafana_home(Path(program)) if program else None
    if program is None or home is None:
        return None
    provisioning = folder / "provisioning"
    _write(
        provisioning / "datasources" / "parley.yaml",
        {
            "apiVersion": 1,
            "datasources": [
                {
                    "name": "Prometheus",
                    "uid": "parley",
                    "type": "prometheus",
                    "access": "proxy",
                    "url": prometheus_url,
                    "isDefault": True,
                    "jsonData": {"timeInterval": SCRAPE_INTERVAL},
                }
            ],
        },
    )
    _write(
        provisioning / "dashboards" / "parley.yaml",
        {
            "apiVersion": 1,
            "providers": [{"name": "parley", "type": "file", "options": {"path": str(DASHBOARDS)}}],
        },
    )
    host, _, port = address.rpartition(":")
    environment = {
        "GF_PATHS_DATA": str(folder / "data"),
        "GF_PATHS_LOGS": str(folder / "data" / "log"),
        "GF_PATHS_PROVISIONING": str(provisioning),
        "GF_SERVER_HTTP_ADDR": host,
        "GF_SERVER_HTTP_PORT": port,
        # Nobody else reaches it, and it has nothing but numbers.
        "GF_AUTH_ANONYMOUS_ENABLED": "true",
        "GF_AUTH_ANONYMOUS_ORG_ROLE": "Editor",
        "GF_AUTH_BASIC_ENABLED": "false",
        "GF_AUTH_DISABLE_LOGIN_FORM": "true",
        "GF_ANALYTICS_REPORTING_ENABLED": "false",
        "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
        "GF_ANALYTICS_CHECK_FOR_PLUGIN_UPDATES": "false",
        "GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH": str(DASHBOARDS / "parley-overview.json"),
        "GF_LOG_MODE": "console",
        "GF_LOG_LEVEL": "warn",
    }
    arguments = () if Path(program).name == "grafana-server" else ("server",)
    command = (program, *arguments, "--homepath", str(home))
    return ProcessSpec("grafana", command, environment, address, ready_path="/api/health")


def _grafana_home(program: Path) -> Path | None:
    """The folder of Grafana's defaults: of an archive, of Homebrew, of a Linux package."""
    prefix = program.resolve().parent.parent
    for home in (prefix, prefix / "share" / "grafana", Path("/usr/share/grafana")):
        if (home / "conf" / "defaults.ini").is_file():
            return home
    return None


def _write(path: Path, configuration: Mapping[str, Any]) -> None:
    # JSON is YAML.
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(configuration, indent=2))
