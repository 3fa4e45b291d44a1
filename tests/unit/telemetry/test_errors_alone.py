"""The log of a command: nothing of it is imported, or written, before there is an error."""

import json
import subprocess
import sys

import pytest

START = """
import logging, sys
from worker.log import Log, bind_contextvars
from worker.telemetry.errors_alone import log_errors_alone
log_errors_alone()
log = Log("worker.test")
"""


def written(script: str) -> str:
    """Return what a process that logs as commands do writes to standard error."""
    command = [sys.executable, "-c", START + script]
    return subprocess.run(command, check=True, capture_output=True, text=True).stderr


@pytest.mark.parametrize(
    "script",
    [
        "log.info('x')",
        "log.warning('x')",
        "logging.getLogger('some.library').warning('x')",
        "logging.getLogger('loud').setLevel(1); logging.getLogger('loud').warning('x')",
        "import warnings; warnings.warn('x')",
    ],
)
def test_what_is_no_error_is_written_nowhere(script: str) -> None:
    """And what would write it is not imported."""
    assert written(f"{script}; assert 'structlog' not in sys.modules") == ""


@pytest.mark.parametrize(
    ("script", "level"),
    [
        ("log.error('it_broke', job_id='x')", "error"),
        ("log.critical('it_broke', job_id='x')", "critical"),
        ("bind_contextvars(job_id='x'); logging.getLogger('some.library').error('it_broke')", "error"),
        ("bind_contextvars(job_id='x'); log.error('it_broke'); log.warning('not_this')", "error"),
    ],
)
def test_an_error_is_a_line(script: str, level: str) -> None:
    """Ours or a library's, as any process writes it; what is lower is not heard after it either."""
    [line] = written(script).splitlines()
    assert {**json.loads(line), "timestamp": "", "logger": ""} == {
        "timestamp": "", "level": level, "event": "it_broke", "logger": "", "job_id": "x"
    }  # fmt: skip


def test_an_error_that_is_handled_is_told_with_its_line() -> None:
    """With where it came from."""
    [line] = written("try:\n    1 / 0\nexcept ZeroDivisionError:\n    log.exception('it_broke')").splitlines()
    assert json.loads(line)["exception"][0]["exc_type"] == "ZeroDivisionError"
