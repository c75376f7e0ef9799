import json
import os
import subprocess
import sys

SCRIPT = """
import logging
from parley_core.runtime.request_context import bind_log_fields
from parley_core.runtime.safe_logging import (
    configure_logging, log_unexpected_error, report_failure
)

configure_logging("test")
log = logging.getLogger("parley.test")
bind_log_fields(request_id="req-1")
log.info("two\\nlines", extra={"fields": {"status": 200}})
try:
    raise KeyError(" ".join(["what", "a", "person", "typed"]))
except KeyError as error:
    log.exception("request failed")
    log_unexpected_error(log, "task failed", error)
report_failure("PARLEY_PORT is wrong.")
"""


def lines_of(log_format: str) -> list[str]:
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PARLEY_LOG_FORMAT": log_format},
    )
    assert "what a person typed" not in run.stderr
    return run.stderr.splitlines()


def test_a_text_entry_is_one_line_with_its_fields() -> None:
    info, failed, task, reason = lines_of("text")
    assert info.endswith(r" INFO parley.test: two\nlines request_id=req-1 status=200")
    assert "ERROR parley.test: request failed\\nKeyError\\n" in failed
    assert "ERROR parley.test: task failed: KeyError request_id=req-1 exception=KeyError\\n" in task
    assert all('File "<string>", line' in line for line in (failed, task))
    assert reason == "PARLEY_PORT is wrong."


def test_a_json_entry_is_one_object_with_its_fields() -> None:
    info, failed, task, reason = (json.loads(line) for line in lines_of("json"))
    assert info["message"] == "two\nlines"
    for entry in (info, failed, task, reason):
        assert entry.items() >= {"service": "test", "request_id": "req-1"}.items()
        assert {"time", "level", "logger", "version", "pod"} <= entry.keys()
    assert (info["level"], info["logger"], info["status"]) == ("INFO", "parley.test", 200)
    assert failed["exception"].startswith("KeyError\n")
    assert task["exception"].startswith("KeyError\n")
    assert (reason["level"], reason["message"]) == ("CRITICAL", "PARLEY_PORT is wrong.")
