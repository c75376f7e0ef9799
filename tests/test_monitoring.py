"""Alerts and dashboards use metrics and labels that exist; each alert has tests and a runbook.

Their expressions are parsed; promtool runs the tests of the rules in `make check`.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from promql import family, selection

from tools.manifests import render, render_extra_components
from tools.monitoring import RULE_TESTS, RUNBOOKS, RUNBOOKS_URL
from tools.monitoring.__main__ import generated
from tools.monitoring.__main__ import main as check_monitoring
from tools.monitoring.rules import alerts, rules

ROOT = Path(__file__).parents[1]
GOLDEN = ROOT / "tests/e2e/metrics.golden.txt"

# Of targets; pod-monitor.yaml and `parley up --monitoring` set them.
TARGET_LABELS = {"namespace", "pod", "process", "job"}
# Of Prometheus, prometheus_client, kube-state-metrics, node-exporter and cert-manager.
FOREIGN = {
    "up": set[str](),
    "ALERTS": {"alertname", "alertstate"},
    "process_cpu_seconds": set[str](),
    "process_resident_memory_bytes": set[str](),
    "process_open_fds": set[str](),
    "process_max_fds": set[str](),
    "kube_pod_container_status_waiting_reason": {"reason"},
    "kube_job_failed": {"job_name", "condition"},
    "kube_cronjob_status_last_successful_time": {"cronjob"},
    "kube_cronjob_created": {"cronjob"},
    "node_timex_offset_seconds": {"instance"},
    "certmanager_certificate_expiration_timestamp_seconds": {"name", "exported_namespace"},
    # Of processes with TLS; the golden list is of a stack without it.
    "parley_tls_certificate_expiry_timestamp_seconds": set[str](),
}


@pytest.fixture(autouse=True)
def _in_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def test_the_generated_files_are_those_of_the_generator() -> None:
    for path, text in generated().items():
        assert path.read_text() == text, path


def test_every_metric_and_label_of_an_expression_exists() -> None:
    known = _known_metrics()
    for name, expression in _expressions():
        found = selection(expression)
        labels = set(TARGET_LABELS)
        for metric, matchers in found.metrics.items():
            assert family(metric) in known, (name, metric)
            own = known[family(metric)] | TARGET_LABELS
            own |= {"le"} if metric.endswith("_bucket") else set()
            assert matchers <= own, (name, metric, matchers)
            labels |= own
        assert found.groupings <= labels, (name, found.groupings)


def test_every_alert_has_a_test_that_fires_and_one_that_does_not() -> None:
    fires: set[str] = set()
    silent: set[str] = set()
    for path in RULE_TESTS.glob("*.test.yaml"):
        for test in yaml.safe_load(path.read_text())["tests"]:
            for case in test["promql_expr_test"]:
                (matched,) = re.findall(r'ALERTS{alertname=~?"([^"]+)"', case["expr"]) or [""]
                names = {a["alert"] for a in alerts() if re.fullmatch(matched, a["alert"])}
                (fires if case["exp_samples"] else silent).update(names)
    names = {alert["alert"] for alert in alerts()}
    assert fires == names
    assert silent == names


def test_every_alert_has_a_severity_and_says_what_is_wrong_with_labels_that_it_has() -> None:
    for alert in alerts():
        assert alert["labels"]["severity"] in ("page", "ticket")
        used = set(re.findall(r"\$labels\.(\w+)", alert["annotations"]["summary"]))
        assert used <= selection(alert["expr"]).groupings | {"slo"}, alert["alert"]


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    for alert in alerts():
        url = f"{RUNBOOKS_URL}/{alert['alert']}.md"
        assert alert["annotations"]["runbook_url"] == url
    names = {alert["alert"] for alert in alerts()}
    assert {path.stem for path in RUNBOOKS.glob("Parley*.md")} == names
    index = (RUNBOOKS / "README.md").read_text()
    listed = dict(re.findall(r"^\| \[(Parley\w+)\]\(\w+\.md\) \| (.+?) \|", index, re.M))
    severities = {name: set[str]() for name in names}
    for alert in alerts():
        severities[alert["alert"]].add(alert["labels"]["severity"])
    assert {name: set(text.split(", ")) for name, text in listed.items()} == severities


def test_every_runbook_says_what_it_means_how_to_check_what_to_do_and_how_to_verify() -> None:
    for path in RUNBOOKS.glob("Parley*.md"):
        headings = re.findall(r"^## (.+)$", path.read_text(), re.M)
        assert headings == ["Means", "Check", "Do", "Verify"], path.name


def test_every_command_of_a_runbook_exists() -> None:
    for path in RUNBOOKS.glob("*.md"):
        for service, command in re.findall(r"python -m parley_(\w+) ([a-z-]+)", path.read_text()):
            sources = (ROOT / f"services/{service}/src/parley_{service}").rglob("*.py")
            # The name of a command is a string where its parser is added.
            assert any(f'"{command}"' in source.read_text() for source in sources), (
                path.name,
                command,
            )


@pytest.mark.parametrize(("ci", "code"), [("", 0), ("true", 1)])
def test_without_promtool_the_rules_are_only_parsed_and_ci_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], ci: str, code: int
) -> None:
    monkeypatch.setenv("CI", ci)
    monkeypatch.setattr("sys.argv", ["monitoring", "--check"])
    monkeypatch.setattr("tools.monitoring.__main__.find_promtool", lambda: None)
    assert check_monitoring() == code
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_every_panel_has_a_unit_and_selects_by_variables() -> None:
    for board in _boards():
        for panel in board["panels"]:
            if panel["type"] in ("row", "text"):
                continue
            name = (board["uid"], panel["title"])
            assert panel["fieldConfig"]["defaults"]["unit"], name
            assert panel["datasource"]["uid"] == "${datasource}", name
            for target in panel["targets"]:
                assert target["datasource"]["uid"] == "${datasource}", name
                assert 'namespace=~"$namespace"' in target["expr"], name
        assert [each["name"] for each in board["templating"]["list"]] == [
            "datasource",
            "namespace",
            "runbooks",
        ]


def test_every_link_of_a_dashboard_to_a_runbook_resolves() -> None:
    names = {
        name
        for board in _boards()
        for name in re.findall(r"\$\{runbooks\}/(\w+)\.md", json.dumps(board))
    }
    assert names
    assert all((RUNBOOKS / f"{name}.md").is_file() for name in names)


@pytest.mark.parametrize("overlay", ["production", "production-external"])
def test_the_component_scrapes_every_process_and_brings_rules_and_dashboards(overlay: str) -> None:
    resources = render(overlay)
    (monitor,) = (each for each in resources if each["kind"] == "PodMonitor")
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    selector = monitor["spec"]["selector"]["matchLabels"]
    scraped = set()
    for each in resources:
        if each["kind"] in ("Deployment", "StatefulSet"):
            template = each["spec"]["template"]
            ports = {p["name"] for c in template["spec"]["containers"] for p in c["ports"]}
            if selector.items() <= template["metadata"]["labels"].items():
                assert endpoint["port"] in ports
                label = template["metadata"]["labels"]["app.kubernetes.io/name"]
                scraped.add(label.removeprefix("parley-"))
    golden = {line.split()[0] for line in GOLDEN.read_text().splitlines() if line[:1] != "#"}
    assert scraped == golden
    (rule,) = (each for each in resources if each["kind"] == "PrometheusRule")
    assert rule["metadata"]["namespace"] == "parley"
    (dashboards,) = (e for e in resources if e["metadata"]["name"] == "parley-dashboards")
    assert set(dashboards["data"]) == {f"{board['uid']}.json" for board in _boards()}


def test_alerts_and_runbooks_name_jobs_that_exist() -> None:
    resources = [*render("production"), *render_extra_components()]
    jobs = [each["metadata"]["name"] for each in resources if each["kind"] == "CronJob"]
    selectors = {
        (alert["alert"], selector)
        for alert in alerts()
        for selector in re.findall(r'(?:cronjob|job_name)=~"([^"]+)"', alert["expr"])
    }
    assert len(selectors) == 3
    for name, selector in selectors:
        # The Jobs of a CronJob have its name and a number.
        assert any(re.fullmatch(selector, f"{job}-29000000") for job in jobs), name
    runbooks = "".join(path.read_text() for path in RUNBOOKS.glob("*.md"))
    assert set(re.findall(r"cronjob/([\w-]+)", runbooks)) <= set(jobs)


def _known_metrics() -> dict[str, set[str]]:
    """Labels by metric, without the suffixes of counters and histograms."""
    known: dict[str, set[str]] = {**FOREIGN}
    for line in GOLDEN.read_text().splitlines():
        if line[:1] != "#":
            _, name, _, *labels = line.split()
            known.setdefault(name, set()).update(labels)
    for rule in rules():
        if "record" in rule:
            known[rule["record"]] = {"slo"}
    return known


def _expressions() -> list[tuple[str, str]]:
    found = [(rule.get("alert") or rule["record"], rule["expr"]) for rule in rules()]
    for board in _boards():
        for panel in board["panels"]:
            name = f"{board['uid']}, {panel['title']}"
            found += [(name, target["expr"]) for target in panel.get("targets", [])]
    for each in render("production"):
        if each["kind"] == "ScaledObject":
            queries = [trigger["metadata"].get("query") for trigger in each["spec"]["triggers"]]
            found += [(each["metadata"]["name"], query) for query in queries if query]
    return found


def _boards() -> list[dict[str, Any]]:
    return [json.loads(text) for path, text in generated().items() if path.suffix == ".json"]
