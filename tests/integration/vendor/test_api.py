"""The vendor's client against the simulated vendor: each way to go wrong becomes the right error, in time."""

import base64
import json
import logging
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from worker.config.environment import Settings
from worker.errors import (
    AccountHeld,
    HoldCause,
    NotSent,
    RemoteRateLimited,
    RemoteRefused,
    RemoteRequestGone,
    RemoteUnavailable,
    Sam3dError,
    SubmitUnknown,
)
from worker.rules.run import RemoteStatus
from worker.simulator import Simulator, SimulatorSettings
from worker.vendor.api import Vendor

KEY = "SG_0123456789abcdef"
PHOTO = base64.b64encode(Path("worker/photos/cat.png").read_bytes()).decode()
REQUEST = {"image": PHOTO, "prompt": "m4rk3r", "seed": 7}
RUN_SECONDS = 10
SHORT, LONG = timedelta(seconds=0.4), timedelta(seconds=20)
GENEROUS = 8.0
Connect = Callable[..., Vendor]


@pytest.fixture(scope="module")
def running_simulator() -> Iterator[Simulator]:
    """Run one simulator for all tests."""
    with Simulator(SimulatorSettings.model_validate({"run_time": RUN_SECONDS})) as simulated:
        yield simulated


@pytest.fixture
def simulator(running_simulator: Simulator) -> Simulator:
    """Provide a vendor that knows nothing, whose runs take ten seconds of its own clock."""
    running_simulator.reset()
    return running_simulator


def settings_of(simulator: Simulator, **changes: Any) -> Settings:
    """Return the settings of a client of the simulator."""
    values: dict[str, Any] = {"SEGMIND_API_KEY": SecretStr(KEY), "SEGMIND_BASE_URL": simulator.url}
    return Settings().having(**(values | changes))


@pytest.fixture
def connect(simulator: Simulator) -> Iterator[Connect]:
    """Provide what makes a client of the simulator with other settings."""
    made: list[Vendor] = []

    def connected(**changes: Any) -> Vendor:
        made.append(Vendor(settings_of(simulator, **changes)))
        return made[-1]

    yield connected
    for vendor in made:
        vendor.close()


@pytest.fixture(scope="module")
def vendor(running_simulator: Simulator) -> Iterator[Vendor]:
    """Provide a client of the simulator."""
    connected = Vendor(settings_of(running_simulator))
    yield connected
    connected.close()


@pytest.fixture
def submitted_run(simulator: Simulator, vendor: Vendor) -> str:
    """Provide the id of a run that the vendor has."""
    return vendor.submit(REQUEST).request_id


@pytest.fixture
def completed_run(simulator: Simulator, submitted_run: str) -> str:
    """Provide the id of a run that is over."""
    simulator.advance(timedelta(seconds=RUN_SECONDS))
    return submitted_run


def raised(call: Callable[[], object]) -> Sam3dError:
    """Return the error of a call; it is one of ours, and holds neither the key nor a part of a body."""
    with pytest.raises(Sam3dError) as error:
        call()
    shown = "".join(traceback.format_exception(error.value)) + repr(error.value)
    assert not [secret for secret in (KEY, "m4rk3r", PHOTO[:40], "<html") if secret in shown]
    return error.value


def meaning(error: Sam3dError) -> object:
    """Return the cause of a hold, else the class."""
    return error.cause if isinstance(error, AccountHeld) else type(error)


def test_a_run_from_submit_to_result(simulator: Simulator, vendor: Vendor) -> None:
    """Queued, processing, completed; then its metrics and where its output is."""
    run = vendor.submit(REQUEST).request_id
    assert vendor.status(run).status is RemoteStatus.QUEUED
    simulator.advance(timedelta(seconds=RUN_SECONDS / 2))
    assert vendor.status(run).status is RemoteStatus.PROCESSING
    assert vendor.result(run).addresses == ()
    simulator.advance(timedelta(seconds=RUN_SECONDS / 2))
    assert vendor.status(run).status is RemoteStatus.COMPLETED
    result = vendor.result(run)
    assert result.run.metrics["cost"] == 0.06
    [address] = result.addresses
    assert address.startswith(f"{simulator.url}/outputs/")


def test_a_failed_run_is_an_answer(simulator: Simulator, vendor: Vendor) -> None:
    """Status and result say so, and why."""
    simulator.add_fault(call="submit", kind="fail_job", message="no object found")
    run = vendor.submit(REQUEST).request_id
    simulator.advance(timedelta(seconds=RUN_SECONDS))
    for seen in (vendor.status(run), vendor.result(run).run):
        assert (seen.status, seen.error) == (RemoteStatus.FAILED, "no object found")


def test_the_balance(simulator: Simulator, vendor: Vendor) -> None:
    """Credits and free credits."""
    simulator.update(credits=7.5, free_credits=2)
    assert vendor.credits() == 9.5


BROKEN_SUBMITS: list[tuple[dict[str, Any], int]] = [
    ({"kind": "reset"}, 0),
    ({"kind": "reset", "starts_run": True}, 1),
    ({"kind": "drop_answer"}, 1),
    ({"kind": "truncate"}, 1),
    ({"kind": "html"}, 1),
    ({"kind": "html", "starts_run": False}, 0),
    ({"kind": "wrong_json"}, 1),
    ({"kind": "broken_json"}, 1),
    ({"kind": "missing_id"}, 1),
    ({"kind": "empty"}, 1),
    ({"kind": "gzip_bomb"}, 1),
    ({"kind": "huge_body"}, 1),
    ({"kind": "endless_body"}, 1),
    ({"kind": "status", "http_status": 202, "starts_run": True}, 1),
    ({"kind": "status", "http_status": 500, "starts_run": True}, 1),
]


@pytest.mark.parametrize(("rule", "runs"), BROKEN_SUBMITS)
def test_a_submit_without_a_usable_answer_is_unknown(
    simulator: Simulator, vendor: Vendor, rule: dict[str, Any], runs: int
) -> None:
    """The client can't tell whether it was paid, and does not claim to."""
    simulator.add_fault(call="submit", count=1, **rule)
    assert type(raised(lambda: vendor.submit(REQUEST))) is SubmitUnknown
    assert len(simulator.ledger()) == runs


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, RemoteRefused),
        (401, HoldCause.KEY),
        (403, HoldCause.FORBIDDEN),
        (404, HoldCause.MODEL),
        (405, HoldCause.PROTOCOL),
        (406, HoldCause.PROTOCOL),
        (410, HoldCause.MODEL),
        (413, RemoteRefused),
        (422, RemoteRefused),
        (429, RemoteRateLimited),
        (500, SubmitUnknown),
        (502, SubmitUnknown),
        (503, SubmitUnknown),
        (504, SubmitUnknown),
    ],
)
def test_an_error_status_on_submit(simulator: Simulator, vendor: Vendor, status: int, expected: object) -> None:
    """With the bodies that the vendor sends, HTML among them."""
    simulator.add_fault(call="submit", kind="status", http_status=status)
    error = raised(lambda: vendor.submit(REQUEST))
    assert meaning(error) == expected
    assert error.http_status == status


def test_a_word_that_nobody_knows_is_still_an_accepted_submit(simulator: Simulator, vendor: Vendor) -> None:
    """The id is what counts."""
    simulator.add_fault(call="submit", kind="unknown_status")
    assert vendor.submit(REQUEST).request_id == simulator.ledger()[0]["request_id"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_post_is_never_redirected(simulator: Simulator, vendor: Vendor, status: int) -> None:
    """Not even to where it would be accepted: it could be a second run."""
    simulator.add_fault(
        call="submit", kind="redirect", url=f"{simulator.url}/v2/sam-3d-objects", http_status=status, count=1
    )
    assert type(raised(lambda: vendor.submit(REQUEST))) is SubmitUnknown
    assert sum(simulator.requests()["calls"]["submit"].values()) == 1
    assert simulator.ledger() == []


READ_FAULTS: list[dict[str, Any]] = [
    {"kind": "reset"},
    {"kind": "drop_answer"},
    {"kind": "truncate"},
    {"kind": "html"},
    {"kind": "wrong_json"},
    {"kind": "broken_json"},
    {"kind": "empty"},
    {"kind": "gzip_bomb"},
    {"kind": "huge_body"},
    {"kind": "endless_body"},
    {"kind": "redirect", "url": "http://127.0.0.1:1/"},
    *({"kind": "status", "http_status": status} for status in (202, 400, 405, 410, 422, 500, 502, 503, 504)),
]


@pytest.mark.parametrize("rule", READ_FAULTS, ids=lambda rule: f"{rule['kind']}-{rule.get('http_status', 200)}")
@pytest.mark.parametrize("call", ["status", "result"])
def test_a_read_without_a_usable_answer_is_made_again(
    simulator: Simulator, vendor: Vendor, completed_run: str, call: str, rule: dict[str, Any]
) -> None:
    """Nothing is wrong with the job; the next read is good."""
    simulator.add_fault(call=call, count=1, **rule)
    read = getattr(vendor, call)
    assert type(raised(lambda: read(completed_run))) is RemoteUnavailable
    assert read(completed_run)


@pytest.mark.parametrize("call", ["status", "result"])
@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (401, HoldCause.KEY),
        (403, HoldCause.FORBIDDEN),
        (404, RemoteRequestGone),
        (406, HoldCause.PROTOCOL),
        (429, RemoteRateLimited),
    ],
)
def test_an_error_status_on_read(
    simulator: Simulator, vendor: Vendor, completed_run: str, call: str, status: int, expected: object
) -> None:
    """The account, the vendor's memory or its limit are the trouble, not the job."""
    simulator.add_fault(call=call, kind="status", http_status=status)
    assert meaning(raised(lambda: getattr(vendor, call)(completed_run))) == expected


def test_a_status_that_nobody_knows_is_a_run_that_goes_on(
    simulator: Simulator, vendor: Vendor, completed_run: str
) -> None:
    """The vendor may have new words; so is an answer without any."""
    simulator.add_fault(call="status", kind="unknown_status", count=1)
    assert vendor.status(completed_run).status is RemoteStatus.UNRECOGNISED
    simulator.add_fault(call="result", kind="no_output", count=1)
    assert vendor.result(completed_run).addresses == ()


def test_a_record_is_gone_after_an_hour(simulator: Simulator, vendor: Vendor, completed_run: str) -> None:
    """So is one that never was."""
    simulator.advance(timedelta(hours=1))
    for call in (vendor.status, vendor.result):
        assert type(raised(lambda call=call: call(completed_run))) is RemoteRequestGone  # type: ignore[misc]
    assert type(raised(lambda: vendor.status("unknown"))) is RemoteRequestGone


@pytest.mark.parametrize(
    ("trouble", "cause"),
    [
        ({"credits": 0.01, "credits_status": 406}, HoldCause.CREDITS),
        ({"team_limit_period": "monthly"}, HoldCause.LIMIT),
        ({"revoked_keys": (KEY,)}, HoldCause.KEY),
        ({"model_forbidden": True}, HoldCause.FORBIDDEN),
        ({"model_retired": True}, HoldCause.MODEL),
    ],
)
def test_trouble_of_the_account(
    simulator: Simulator, vendor: Vendor, trouble: dict[str, Any], cause: HoldCause
) -> None:
    """Nothing was paid; the sentence says what the operator can do."""
    simulator.update(**trouble)
    error = raised(lambda: vendor.submit(REQUEST))
    assert meaning(error) == cause
    assert simulator.ledger() == []


def test_refused_parameters(simulator: Simulator, vendor: Vendor) -> None:
    """They are the job's own trouble."""
    assert type(raised(lambda: vendor.submit({**REQUEST, "seed": -1}))) is RemoteRefused
    assert simulator.ledger() == []


@pytest.mark.parametrize(
    ("form", "is_known"), [("iso", True), ("epoch", True), ("missing", False), ("nonsense", False)]
)
def test_the_reset_of_a_closed_window(simulator: Simulator, vendor: Vendor, form: str, *, is_known: bool) -> None:
    """In whichever form the vendor says it, within the minute by its clock."""
    simulator.update(requests_per_minute=0, reset_header=form)
    error = raised(lambda: vendor.submit(REQUEST))
    assert isinstance(error, RemoteRateLimited)
    assert (error.reset_at is not None) == is_known
    if error.reset_at:
        assert timedelta(minutes=-1) < error.reset_at - datetime.now(UTC) < timedelta(hours=24)


SLOW: list[dict[str, Any]] = [
    {"kind": "hang"},
    {"kind": "slow_bytes", "bytes_per_second": 20},
    {"kind": "slow_headers", "bytes_per_second": 20},
]


@pytest.mark.parametrize("rule", SLOW, ids=lambda rule: str(rule["kind"]))
def test_a_slow_submit_ends_at_its_deadline(simulator: Simulator, connect: Connect, rule: dict[str, Any]) -> None:
    """A byte now and then does not keep it alive; what became of it is unknown."""
    simulator.add_fault(call="submit", **rule)
    began = time.monotonic()
    assert type(raised(lambda: connect(SAM3D_SUBMIT_DEADLINE=SHORT).submit(REQUEST))) is SubmitUnknown
    assert SHORT.total_seconds() <= time.monotonic() - began < GENEROUS


@pytest.mark.parametrize("rule", SLOW, ids=lambda rule: str(rule["kind"]))
@pytest.mark.parametrize("call", ["status", "result"])
def test_a_slow_read_ends_at_its_deadline(
    simulator: Simulator, connect: Connect, completed_run: str, call: str, rule: dict[str, Any]
) -> None:
    """It is made again later."""
    simulator.add_fault(call=call, **rule)
    began = time.monotonic()
    read = getattr(connect(SAM3D_READ_DEADLINE=SHORT), call)
    assert type(raised(lambda: read(completed_run))) is RemoteUnavailable
    assert SHORT.total_seconds() <= time.monotonic() - began < GENEROUS


def test_a_vendor_that_is_not_there(connect: Connect) -> None:
    """Nothing listens: nothing was sent."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    vendor = connect(SEGMIND_BASE_URL=f"http://127.0.0.1:{port}")
    assert type(raised(lambda: vendor.submit(REQUEST))) is NotSent
    assert type(raised(lambda: vendor.status("id"))) is RemoteUnavailable


def test_a_vendor_that_accepts_and_says_nothing(connect: Connect) -> None:
    """The kernel of a frozen server takes the connection and the first bytes: after that nobody knows."""
    with socket.create_server(("127.0.0.1", 0)) as frozen:
        url = f"http://127.0.0.1:{frozen.getsockname()[1]}"
        vendor = connect(SEGMIND_BASE_URL=url, SAM3D_SUBMIT_DEADLINE=SHORT, SAM3D_READ_DEADLINE=SHORT)
        assert type(raised(lambda: vendor.submit(REQUEST))) is SubmitUnknown
        assert type(raised(lambda: vendor.status("id"))) is RemoteUnavailable


class CountingServer(ThreadingHTTPServer):
    """Answers everything with an accepted run, on connections that it counts and keeps."""

    daemon_threads = True

    def __init__(self) -> None:
        self.connections = 0
        self.keys: list[str | None] = []
        super().__init__(("127.0.0.1", 0), _Accepting)
        self.url = f"http://127.0.0.1:{self.server_port}"

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Count a connection."""
        self.connections += 1
        super().finish_request(request, client_address)


class _Accepting(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 5
    server: CountingServer

    def do_GET(self) -> None:
        self.server.keys.append(self.headers["x-api-key"])
        self.rfile.read(int(self.headers.get("content-length", 0)))
        body = json.dumps({"request_id": "id", "status": "QUEUED"}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[CountingServer]:
    """Provide a server that counts its connections."""
    with CountingServer() as counting:
        thread = threading.Thread(target=counting.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield counting
        counting.shutdown()
        thread.join(GENEROUS)


def test_a_late_worker_sends_nothing(server: CountingServer, connect: Connect) -> None:
    """One whose deadline passed before the first byte knows that no run was started."""
    vendor = connect(SEGMIND_BASE_URL=server.url, SAM3D_SUBMIT_DEADLINE=timedelta(microseconds=1))
    assert type(raised(lambda: vendor.submit(REQUEST))) is NotSent
    assert server.connections == 0


def test_each_submit_has_a_connection_of_its_own(server: CountingServer, connect: Connect) -> None:
    """A kept one that the server just closed would look like an unknown submit."""
    vendor = connect(SEGMIND_BASE_URL=server.url)
    for _ in range(3):
        vendor.submit(REQUEST)
    assert server.connections == 3


def test_reads_share_a_connection(server: CountingServer, connect: Connect) -> None:
    """They are many, and a new one each time costs CPU."""
    vendor = connect(SEGMIND_BASE_URL=server.url)
    for _ in range(3):
        vendor.status("id")
        vendor.result("id")
    assert server.connections == 1


def test_a_key_in_a_file_is_read_again(server: CountingServer, connect: Connect, tmp_path: Path) -> None:
    """A rotated key needs no restart; the file wins over the variable, and may end in a line break."""
    path = tmp_path / "key"
    vendor = connect(SEGMIND_BASE_URL=server.url, SEGMIND_API_KEY_FILE=path)
    for content in ("first", "second\n"):
        path.write_text(content)
        vendor.submit(REQUEST)
        vendor.status("id")
    assert server.keys == ["first", "first", "second", "second"]


def test_a_key_may_end_in_a_line_break(server: CountingServer, connect: Connect) -> None:
    """A secret that was made with ``echo`` has one, in a variable as in a file."""
    connect(SEGMIND_BASE_URL=server.url, SEGMIND_API_KEY=SecretStr(f"{KEY}\n")).submit(REQUEST)
    assert server.keys == [KEY]


@pytest.mark.parametrize("content", [None, b"SG_\xff0123", "SG_schlüssel".encode(), b"SG_0123\r\nx-other: 1"])
def test_a_key_that_can_not_be_sent_holds_the_account(
    server: CountingServer, connect: Connect, tmp_path: Path, content: bytes | None
) -> None:
    """It is known that nothing was sent: no job waits for a person because of a bad file."""
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)
    vendor = connect(SEGMIND_BASE_URL=server.url, SEGMIND_API_KEY_FILE=path)
    assert meaning(raised(lambda: vendor.submit(REQUEST))) == HoldCause.KEY
    assert meaning(raised(lambda: vendor.status("id"))) == HoldCause.KEY
    assert server.keys == []


@pytest.mark.parametrize("key", ["SG_schlüssel", "SG_0123\r\nx-other: 1", "SG_0123\0"])
def test_a_key_in_the_environment_that_can_not_be_sent(server: CountingServer, connect: Connect, key: str) -> None:
    """The same for the variable."""
    vendor = connect(SEGMIND_BASE_URL=server.url, SEGMIND_API_KEY=SecretStr(key))
    assert meaning(raised(lambda: vendor.submit(REQUEST))) == HoldCause.KEY
    assert server.keys == []


@pytest.mark.parametrize("key", [None, SecretStr(""), SecretStr("SG_wrong")])
def test_a_key_that_is_refused(connect: Connect, key: SecretStr | None) -> None:
    """None at all is told by the vendor, like a wrong one."""
    vendor = connect(SEGMIND_API_KEY=key)
    assert meaning(raised(lambda: vendor.submit(REQUEST))) == HoldCause.KEY
    assert meaning(raised(lambda: vendor.status("id"))) == HoldCause.KEY


def test_nothing_secret_is_logged(
    simulator: Simulator, vendor: Vendor, completed_run: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Not by the libraries either, at the levels that the service gives them."""
    caplog.set_level(logging.DEBUG)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    logging.getLogger("httpcore").setLevel(logging.WARNING)
    vendor.result(completed_run)
    simulator.add_fault(call="any", kind="reset")
    raised(lambda: vendor.submit(REQUEST))
    raised(lambda: vendor.status(completed_run))
    assert not [secret for secret in (KEY, "m4rk3r", "/outputs/") if secret in caplog.text]


def test_the_blocking_call(simulator: Simulator, vendor: Vendor) -> None:
    """It answers with the model itself."""
    simulator.update(run_time=0)
    assert vendor.generate(REQUEST, LONG).body[:4] == b"glTF"
    assert len(simulator.ledger()) == 1


def test_the_blocking_call_is_bounded(simulator: Simulator, connect: Connect) -> None:
    """By the cap of an output and by the time that is given; after either it may have been paid."""
    simulator.update(run_time=0)
    assert type(raised(lambda: connect(SAM3D_MAX_OUTPUT_BYTES=100).generate(REQUEST, LONG))) is SubmitUnknown
    simulator.update(run_time=600)
    assert type(raised(lambda: connect().generate(REQUEST, SHORT))) is SubmitUnknown


def test_the_blocking_call_may_take_longer_than_a_submit(simulator: Simulator, connect: Connect) -> None:
    """A run takes longer than the answer to a submit may."""
    simulator.update(run_time=1)
    assert connect(SAM3D_SUBMIT_DEADLINE=SHORT).generate(REQUEST, LONG).body[:4] == b"glTF"


def test_the_blocking_call_may_say_what_credits_are_left(simulator: Simulator, vendor: Vendor) -> None:
    """In a header that clients were seen to read; without it nothing is told."""
    simulator.update(run_time=0)
    assert vendor.generate(REQUEST, LONG).credits_left is None
    left = {"x-remaining-credits": "4.25"}
    simulator.add_fault(call="blocking", kind="wrong_magic", headers=left)
    assert vendor.generate(REQUEST, LONG).credits_left == 4.25
