import subprocess
import sys

SCRIPT = """
import logging
from parley_core.runtime.safe_logging import configure_logging, log_unexpected_error

configure_logging()
log = logging.getLogger("parley.test")
try:
    raise KeyError("what a person typed")
except KeyError as error:
    log.exception("request failed")
    log_unexpected_error(log, "task failed", error)
"""


def test_an_exception_is_logged_with_its_class_and_frames_but_without_its_message() -> None:
    run = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert run.stderr.count("KeyError") == 2
    assert run.stderr.count('File "<string>", line 8') == 2
    assert "what a person typed" not in run.stderr
    assert "ERROR parley.test: request failed" in run.stderr
