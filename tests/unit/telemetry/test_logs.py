"""Each log line is one line of JSON, whoever wrote it, and holds no local variable."""

import io
import json
import logging
import re
import sys
import time
import uuid
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import structlog

from worker.telemetry.logs import QUIET, configure_logging

MARKER = "m4rk3r"
Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """Give the test run its own logging back."""
    root = logging.root
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.NOTSET)
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Lines:
    """Return what gives the lines written so far."""
    return lambda: [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def a_log() -> Any:
    """Return a logger of our own that nobody has used."""
    return structlog.get_logger(f"worker.test.{uuid.uuid4()}")


def broken(key: str) -> None:
    """Fail with a secret in a local variable."""
    raise ValueError("it broke")


def test_our_lines(lines: Lines) -> None:
    """When, how grave, what, who, and the facts."""
    configure_logging("INFO", is_console=False)
    a_log().info("job_polled", polls=3)
    [line] = lines()
    assert (line["event"], line["level"], line["polls"]) == ("job_polled", "info", 3)
    assert line["logger"].startswith("worker.test.")
    assert line["timestamp"].endswith("Z")


def test_lines_of_libraries(lines: Lines) -> None:
    """They come through the same formatter, on one line each."""
    configure_logging("INFO", is_console=False)
    logging.getLogger("some.library").warning("first %s\nsecond", "part")
    [line] = lines()
    assert (line["event"], line["level"], line["logger"]) == ("first part\nsecond", "warning", "some.library")


def test_what_is_bound_is_on_each_line(lines: Lines) -> None:
    """The job's id is on the lines of libraries as well."""
    configure_logging("INFO", is_console=False)
    with structlog.contextvars.bound_contextvars(job_id="job"):
        a_log().info("job_polled")
        logging.getLogger("some.library").warning("slow")
    a_log().info("job_polled")
    assert [line.get("job_id") for line in lines()] == ["job", "job", None]


@pytest.mark.parametrize("is_ours", [True, False])
def test_exceptions_without_locals(lines: Lines, *, is_ours: bool) -> None:
    """A traceback is part of the line, and its variables are not: they hold keys and images."""
    configure_logging("INFO", is_console=False)
    log = a_log() if is_ours else logging.getLogger("some.library")
    try:
        broken(MARKER)
    except ValueError:
        log.exception("request_broke")
    [line] = lines()
    assert (line["event"], line["level"]) == ("request_broke", "error")
    assert line["exception"][0]["exc_type"] == "ValueError"
    assert line["exception"][0]["frames"][-1]["name"] == "broken"
    assert MARKER not in json.dumps(line)


def test_exceptions_without_locals_on_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """The same for a person's eyes."""
    configure_logging("INFO", is_console=True)
    try:
        broken(MARKER)
    except ValueError:
        a_log().exception("request_broke")
    shown = capsys.readouterr().err
    assert "ValueError: it broke" in shown
    assert MARKER not in shown


@pytest.mark.parametrize("is_console", [True, False])
def test_no_line_steers_a_terminal(capsys: pytest.CaptureFixture[str], *, is_console: bool) -> None:
    """Whatever a sender or the vendor wrote into it, or into an error."""
    hostile = "\x1b]52;c;cm0gLXJm\x07\x9b2J\u202e\u200b"
    configure_logging("INFO", is_console=is_console)
    a_log().info("job_failed", reason=hostile, several=[hostile], deeper={hostile: hostile}, **{hostile: 1})
    logging.getLogger("some.library").warning(hostile)
    a_log().error("request_broke", exc_info=ValueError(hostile))
    shown = re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().err)  # The colours are ours.
    assert shown.count("52;c;cm0gLXJm") >= 6
    assert set(shown) & set("\x1b\x07\x9b\u202e\u200b") == set()


def test_what_was_suppressed_is_not_shown(lines: Lines) -> None:
    """An error that is raised ``from None`` does not bring the other one, whose text may hold a secret."""
    configure_logging("INFO", is_console=False)
    ours = KeyError("ours")
    ours.__context__, ours.__suppress_context__ = ValueError(MARKER), True
    a_log().error("request_broke", exc_info=ours)
    [line] = lines()
    assert line["exception"][0]["exc_type"] == "KeyError"
    assert MARKER not in json.dumps(line)


@pytest.mark.parametrize("level", ["DEBUG", "INFO", "WARNING", "ERROR"])
def test_the_least_level_is_the_setting(capsys: pytest.CaptureFixture[str], level: str) -> None:
    """For our lines as for those of libraries."""
    configure_logging(level, is_console=False)
    for log in (a_log(), logging.getLogger("some.library")):
        for method in ("debug", "info", "warning", "error"):
            getattr(log, method)("x")
    heard = [json.loads(line)["level"].upper() for line in capsys.readouterr().err.splitlines()]
    order = ["DEBUG", "INFO", "WARNING", "ERROR"]
    assert heard == 2 * order[order.index(level) :]


@pytest.mark.parametrize("name", QUIET)
def test_libraries_that_tell_too_much_are_quiet(capsys: pytest.CaptureFixture[str], name: str) -> None:
    """At any level: they write addresses and bodies."""
    configure_logging("DEBUG", is_console=False)
    logging.getLogger(name).info(MARKER)
    logging.getLogger(f"{name}.inner").debug(MARKER)
    assert capsys.readouterr().err == ""


def test_warnings_of_python_are_lines(lines: Lines) -> None:
    """They would break the log's form otherwise."""
    configure_logging("INFO", is_console=False)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    [line] = lines()
    assert line["logger"] == "py.warnings"
    assert "old" in line["event"]


def test_odd_values_are_written_somehow(lines: Lines) -> None:
    """A log line never fails for what is in it."""
    configure_logging("INFO", is_console=False)
    a_log().info("odd", set={1}, half="\ud800", bytes=b"\xff", huge=10**400, deep=object())
    assert lines()[0]["event"] == "odd"


def test_nothing_is_written_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    """It is for what a command was asked for."""
    configure_logging("INFO", is_console=False)
    a_log().info("job_polled")
    assert capsys.readouterr().out == ""


class Unspeakable:
    """What has no text."""

    def __str__(self) -> str:
        """Fail."""
        raise ValueError(MARKER)


def test_a_line_that_cannot_be_made_breaks_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever logs goes on, and so does the log."""
    configure_logging("INFO", is_console=False)
    a_log().info("job_polled", y=Unspeakable())
    logging.getLogger("some.library").warning("slow %s", Unspeakable())
    a_log().info("job_polled")
    assert json.loads(capsys.readouterr().err.splitlines()[-1])["event"] == "job_polled"


class Full(io.StringIO):
    """A disk without room, or a pipe that nobody reads any more."""

    def write(self, _: str) -> int:
        """Fail."""
        raise OSError(28, MARKER)


def test_a_line_that_cannot_be_written_breaks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job goes on, and ends, whatever became of its lines."""
    monkeypatch.setattr(sys, "stderr", Full())
    configure_logging("INFO", is_console=False)
    a_log().info("job_polled")
    logging.getLogger("some.library").warning("slow")


class Piecemeal(io.StringIO):
    """Takes a text in two pieces, and lets others write between them."""

    def write(self, text: str) -> int:
        """Write."""
        super().write(text[:9])
        time.sleep(0)
        return 9 + super().write(text[9:])


def test_lines_of_all_threads_are_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours and those of libraries, in one stream."""
    stream = Piecemeal()
    monkeypatch.setattr(sys, "stderr", stream)
    configure_logging("INFO", is_console=False)

    def write(number: int) -> None:
        for _ in range(50):
            a_log().info("job_polled", number=number)
            logging.getLogger("some.library").warning("slow")

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(write, range(8)))
    assert len([json.loads(line) for line in stream.getvalue().splitlines()]) == 800
