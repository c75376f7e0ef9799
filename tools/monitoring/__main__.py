"""Writes the generated files of the monitoring component, or checks them and tests the rules.

Run `python -m tools.monitoring`, or with `--check` as `make check` does. The tests of the rules
need promtool; without it they are left out, except in CI, where that is an error.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from tools.monitoring import DASHBOARDS, PROMETHEUS_RULE, RULE_TESTS, RULES
from tools.monitoring.boards import log, overview, resources, turns
from tools.monitoring.promtool import find_promtool, run_promtool
from tools.monitoring.rules import prometheus_rule


def generated() -> Mapping[Path, str]:
    boards = (overview.board(), turns.board(), log.board(), resources.board())
    return {
        PROMETHEUS_RULE: prometheus_rule(),
        **{DASHBOARDS / f"{each.uid}.json": each.to_json() for each in boards},
    }


def main() -> int:
    if "--check" not in sys.argv[1:]:
        for path, text in generated().items():
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        return 0
    outdated = [str(path) for path, text in generated().items() if _text(path) != text]
    if outdated:
        print(f"Run `make format`: {', '.join(outdated)} are outdated.", file=sys.stderr)
    return 1 if outdated else _test_rules()


def _test_rules() -> int:
    promtool = find_promtool()
    if promtool is None:
        print("Alerts: not tested, as promtool is not installed (Debian's package: prometheus).")
        return 1 if os.environ.get("CI") == "true" else 0
    tests = sorted(RULE_TESTS.glob("*.test.yaml"))
    for command, files in (("check", [RULES]), ("test", tests)):
        if failure := run_promtool(promtool, [command, "rules", *files]):
            print(failure, file=sys.stderr)
            return 1
    print(f"Alerts: the rules passed {len(tests)} files of tests.")
    return 0


def _text(path: Path) -> str | None:
    return path.read_text() if path.exists() else None


if __name__ == "__main__":
    sys.exit(main())
