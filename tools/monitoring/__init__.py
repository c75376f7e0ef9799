"""Alerts and dashboards of `deploy/k8s/components/monitoring`: generation and checks."""

from pathlib import Path

COMPONENT = Path("deploy/k8s/components/monitoring")
RULES = COMPONENT / "parley.rules.yaml"
RULE_TESTS = COMPONENT / "tests"
PROMETHEUS_RULE = COMPONENT / "prometheus-rule.yaml"
DASHBOARDS = COMPONENT / "dashboards"
RUNBOOKS = Path("docs/runbooks")
# Where an installation publishes docs/runbooks; a placeholder that each replaces.
RUNBOOKS_URL = "https://runbooks.example.com/parley"
