"""A process whose loop stands still ends."""

import json
import subprocess
import sys

from worker.telemetry import watchdog

STALLS = """
import time
from datetime import timedelta
from worker.telemetry import watchdog
from worker.telemetry.logs import configure_logging

configure_logging("INFO")
watchdog.TICK_SECONDS = 0.02
watchdog.heart("rests").rest()
watchdog.heart("stands-still").beat()
watchdog.watch(timedelta(seconds=0.1))
time.sleep(20)
"""


def test_a_stalled_process_ends() -> None:
    """It says what stalled and what is next, in one line, and exits with a code of its own."""
    done = subprocess.run([sys.executable, "-c", STALLS], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == watchdog.EXIT_CODE
    told = json.loads((done.stdout + done.stderr).strip())
    assert (told["event"], told["level"], told["stalled"]) == ("process_stalled", "error", "stands-still")
    assert told["next"]
