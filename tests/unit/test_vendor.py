"""What each answer of the vendor means: every HTTP status and every error of httpx is decided."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from itertools import cycle
from typing import Any

import httpx
import pytest

from worker import vendor as vendor_module
from worker.answers import MAX_ADDRESSES, Answer, RemoteStatus, RunResult, RunStatus
from worker.config import Settings
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
from worker.vendor import Vendor

MARKER = "m4rk3r"
OUTPUT = "https://files.segmind.com/model.glb"
ZIP = "https://files.segmind.com/artifacts.zip?token=1"
Answering = Callable[[httpx.Request], httpx.Response]


class ScriptedVendor(Vendor):
    """A client whose calls are answered by a function."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.answering: Answering = lambda _: reply()


@pytest.fixture
def vendor(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> ScriptedVendor:
    """Return a client that gets what the test says."""

    def answer(request: httpx.Request) -> httpx.Response:
        return scripted.answering(request)

    monkeypatch.setattr(vendor_module, "create_client", lambda **_: httpx.Client(transport=httpx.MockTransport(answer)))
    scripted = ScriptedVendor(settings)
    return scripted


@pytest.fixture
def answered(vendor: ScriptedVendor) -> Callable[..., Vendor]:
    """Return what makes a client that gets one answer to everything."""

    def make(code: int = 200, body: object = None, header: str | None = None) -> Vendor:
        vendor.answering = lambda _: reply(code, body, header)
        return vendor

    return make


def reply(code: int = 200, body: object = None, header: str | None = None) -> httpx.Response:
    """Return an answer that comes as a stream; a body that is no bytes is sent as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {} if header is None else {"x-rate-limit-reset-at-utc": header}
    return httpx.Response(code, content=iter([content]), headers=headers)


def tree(root: type[Exception]) -> Iterator[type[Exception]]:
    """Give a class and all below it."""
    yield root
    for child in root.__subclasses__():
        yield from tree(child)


def raised(call: Callable[[], object]) -> Sam3dError:
    """Return the error of a call, which must be one of ours and quote nothing."""
    with pytest.raises(Sam3dError) as error:
        call()
    assert MARKER not in f"{error.value} {error.value!r}"
    assert str(error.value).endswith(".")
    return error.value


NOT_SENT = {"ConnectError", "ConnectTimeout", "PoolTimeout", "UnsupportedProtocol"}
HTTPX_ERRORS = [error for error in tree(httpx.HTTPError) if error.__module__.startswith("httpx")]


def broken(error: type[Exception]) -> Answering:
    """Return a server that only causes an error of httpx."""

    def answer(request: httpx.Request) -> httpx.Response:
        if issubclass(error, httpx.HTTPStatusError):
            raise error(MARKER, request=request, response=httpx.Response(500, request=request))
        raise error(MARKER)

    return answer


@pytest.mark.parametrize("error", HTTPX_ERRORS)
def test_each_error_of_httpx_is_decided_on_submit(vendor: ScriptedVendor, error: type[Exception]) -> None:
    """Only where no byte has left, no run was started; after any other nobody knows."""
    expected = NotSent if error.__name__ in NOT_SENT else SubmitUnknown
    vendor.answering = broken(error)
    found = raised(lambda: vendor.submit({}))
    assert type(found) is expected
    assert found.__suppress_context__
    assert not getattr(found, "is_server_error", False)


@pytest.mark.parametrize("error", HTTPX_ERRORS)
def test_each_error_of_httpx_is_decided_on_read(vendor: ScriptedVendor, error: type[Exception]) -> None:
    """A read is made again later, whatever broke."""
    vendor.answering = broken(error)
    assert {type(raised(lambda: vendor.status("id"))), type(raised(lambda: vendor.result("id")))} == {RemoteUnavailable}


def test_the_errors_that_mean_not_sent_exist() -> None:
    """The names above are names of httpx."""
    assert {error.__name__ for error in HTTPX_ERRORS} > NOT_SENT


ON_SUBMIT = {
    400: RemoteRefused,
    401: HoldCause.KEY,
    403: HoldCause.FORBIDDEN,
    404: HoldCause.MODEL,
    405: HoldCause.PROTOCOL,
    406: RemoteRefused,
    410: HoldCause.MODEL,
    429: RemoteRateLimited,
}
ON_READ = {
    401: HoldCause.KEY,
    403: HoldCause.FORBIDDEN,
    404: RemoteRequestGone,
    406: HoldCause.PROTOCOL,
    429: RemoteRateLimited,
}
BODIES = [b"", b"<html>m4rk3r</html>", b'{"error": "m4rk3r"}', b'["m4rk3r"]', b'{"error": {"m4rk3r": 1}}', b"\xff"]


def meaning(error: Sam3dError) -> object:
    """Return the cause of a hold, else the class."""
    return error.cause if isinstance(error, AccountHeld) else type(error)


@pytest.fixture
def told(vendor: ScriptedVendor, monkeypatch: pytest.MonkeyPatch) -> Callable[[int, bytes], Vendor]:
    """Return what makes a client that gets an answer without a request: there are a thousand to be tried."""

    def make(code: int, body: bytes) -> Vendor:
        monkeypatch.setattr(vendor, "_call", lambda *_, **__: Answer(code, body))
        return vendor

    return make


@pytest.mark.parametrize("family", range(100, 600, 100))
def test_each_status_is_decided_on_submit(told: Callable[[int, bytes], Vendor], family: int) -> None:
    """Only a listed 4xx means that no run was started; all else may have been paid, and a 5xx says that it is one."""
    for code, body in zip(range(family, family + 100), cycle(BODIES), strict=False):
        error = raised(partial(told(code, body).submit, {}))
        assert (code, meaning(error)) == (code, ON_SUBMIT.get(code, SubmitUnknown))
        assert getattr(error, "is_server_error", False) == (code >= 500)


@pytest.mark.parametrize("family", range(100, 600, 100))
def test_each_status_is_decided_on_read(told: Callable[[int, bytes], Vendor], family: int) -> None:
    """What is not listed is looked at again later."""
    for code, body in zip({*range(family, family + 100)} - {200}, cycle(BODIES), strict=False):
        error = raised(partial(told(code, body).status, "id"))
        assert (code, meaning(error)) == (code, ON_READ.get(code, RemoteUnavailable))


@pytest.mark.parametrize("body", [*BODIES, b"null", b"5", b"[" * 9999, b'{"status": "QUEUED"'])
def test_a_success_that_can_not_be_read(answered: Callable[..., Vendor], body: bytes) -> None:
    """On submit a run may be going on; a read is made again."""
    assert type(raised(lambda: answered(200, body).submit({}))) is SubmitUnknown
    if not body.startswith(b'{"error"'):  # An object without a status is a run that has not ended.
        assert type(raised(lambda: answered(200, body).status("id"))) is RemoteUnavailable


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("Invalid content type", HoldCause.PROTOCOL),
        ("Insufficient credits. Available balance: 0.0100, required: 0.0600", HoldCause.CREDITS),
        ("Team monthly spend limit reached. Cap: 50.00 USD", HoldCause.LIMIT),
        ("Parameter seed must be an integer", RemoteRefused),
        ("prompt is longer than the limit of 500 characters", RemoteRefused),
    ],
)
def test_the_meanings_of_406(answered: Callable[..., Vendor], sentence: str, expected: object) -> None:
    """Our bug, the credits, the team's limit, or a parameter: one bad job must not stop the account of all."""
    error = raised(lambda: answered(406, {"error": f"{sentence} {MARKER}"}).submit({}))
    assert meaning(error) == expected


@pytest.mark.parametrize("request_id", ["0f1e2d3c-4b5a-4697-8877-665544332211", "req_1:a.b"])
def test_an_accepted_submit_has_an_id(answered: Callable[..., Vendor], request_id: str) -> None:
    """It is all that is needed to follow the run."""
    assert answered(200, {"request_id": request_id}).submit({}).request_id == request_id


@pytest.mark.parametrize("request_id", [None, "", 5, [], {}, "a/b", "../x", "a b", "a?b", "a\n", "é", "x" * 200, "%2e"])
def test_an_id_that_can_not_be_followed(answered: Callable[..., Vendor], request_id: object) -> None:
    """It is paid and lost: a person has to look. No id can lead a read to another address."""
    assert type(raised(lambda: answered(200, {"request_id": request_id}).submit({}))) is SubmitUnknown


@pytest.mark.parametrize("word", ["QUEUED", "PROCESSING", "COMPLETED", "FAILED"])
def test_known_statuses(answered: Callable[..., Vendor], word: str) -> None:
    """The vendor's words are ours."""
    assert answered(200, {"status": word}).status("id").status is RemoteStatus(word)


@pytest.mark.parametrize("word", ["MELTING", "", "completed", " COMPLETED", None, 5, True, [], {}, ["COMPLETED"]])
def test_unknown_statuses(answered: Callable[..., Vendor], word: object) -> None:
    """A word that nobody knows is a run that has not ended."""
    assert RemoteStatus.of(word) is RemoteStatus.UNRECOGNISED
    assert answered(200, {"status": word}).status("id").status is RemoteStatus.UNRECOGNISED


def test_a_failed_run_is_an_answer(answered: Callable[..., Vendor]) -> None:
    """It is served with 422 and says why; it is no error of the call."""
    run = answered(422, {"status": "FAILED", "error": "no object", "metrics": {}}).status("id")
    assert run == RunStatus(RemoteStatus.FAILED, {}, "no object")


@pytest.mark.parametrize("error", [None, 5, ["x"], {"message": "x"}])
def test_an_error_that_is_no_sentence(answered: Callable[..., Vendor], error: object) -> None:
    """It says nothing."""
    assert answered(422, {"status": "FAILED", "error": error}).status("id").error is None


@pytest.mark.parametrize(
    ("header", "moment"),
    [
        ("2026-01-02T03:04:05Z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02T03:04:05", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02T05:04:05+02:00", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02 03:04:05.250", datetime(2026, 1, 2, 3, 4, 5, 250_000, tzinfo=UTC)),
        ("1767323045", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("1767323045.25", datetime(2026, 1, 2, 3, 4, 5, 250_000, tzinfo=UTC)),
        ("1767323045000", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        *((text, None) for text in (None, "", "soon", "-5", "NaN", "inf", "1e9", "9" * 30, "9" * 400, "2026-13-01")),
    ],
)
def test_when_the_window_opens_again(
    answered: Callable[..., Vendor], header: str | None, moment: datetime | None
) -> None:
    """ISO 8601, which is UTC if it does not say, or seconds or milliseconds since the epoch; nonsense is unknown."""
    vendor = answered(429, header=header)
    for error in (raised(lambda: vendor.submit({})), raised(lambda: vendor.status("id"))):
        assert isinstance(error, RemoteRateLimited)
        assert error.reset_at == moment


def result_of(answered: Callable[..., Vendor], **body: Any) -> RunResult:
    """Return what is read of the final body of a run."""
    return answered(200, {"status": "COMPLETED", "request_id": "id", **body}).result("id")


@pytest.mark.parametrize(
    ("body", "addresses"),
    [
        ({"output": OUTPUT}, [OUTPUT]),
        ({"output": [OUTPUT, ZIP]}, [OUTPUT, ZIP]),
        ({"output": {"model": OUTPUT, "artifacts": ZIP}}, [OUTPUT, ZIP]),
        ({"output": [{"files": {"glb": {"url": OUTPUT}}}]}, [OUTPUT]),
        ({"output": OUTPUT, "artifacts": ZIP}, [OUTPUT, ZIP]),
        ({"output": [OUTPUT, OUTPUT], "model_glb": OUTPUT}, [OUTPUT]),
        ({"output": "https://files.segmind.com/0a1b2c"}, ["https://files.segmind.com/0a1b2c"]),
        ({}, []),
        ({"output": None}, []),
        ({"output": []}, []),
        ({"output": {}}, []),
        ({"output": [5, True, "", "model.glb", "ftp://x/model.glb"]}, []),
        ({"output": None, "image": "https://example.com/cat.png", "status_url": "https://api.segmind.com/v2/x"}, []),
    ],
)
def test_outputs_in_any_shape(answered: Callable[..., Vendor], body: dict[str, Any], addresses: list[str]) -> None:
    """A URL, a list, an object, or none; files beside it too, but not the echo of an input or a link."""
    assert list(result_of(answered, **body).addresses) == addresses


def test_outputs_are_bounded(answered: Callable[..., Vendor]) -> None:
    """Nobody downloads ten thousand files, or follows an output for ever."""
    nested: Any = OUTPUT
    for _ in range(50):
        nested = [nested]
    assert result_of(answered, output=nested).addresses == ()
    assert len(result_of(answered, output=[f"{OUTPUT}?{n}" for n in range(10_000)]).addresses) == MAX_ADDRESSES


def test_a_result_does_not_show_its_addresses(answered: Callable[..., Vendor]) -> None:
    """Whoever has the address of an output can read it."""
    assert MARKER not in repr(result_of(answered, output=f"{OUTPUT}?{MARKER}"))


def test_metrics_are_numbers(answered: Callable[..., Vendor]) -> None:
    """What is no plain number is left out."""
    hostile = {
        "nan": float("nan"), "inf": float("inf"), "huge": 10**400, "big": 1e300, "text": "5", "yes": True,
        "none": None, "list": [1], "nested": {"a": 1},
    }  # fmt: skip
    run = result_of(answered, metrics={"cost": 0.06, "retry_count": 1, **hostile}).run
    assert run.metrics == {"cost": 0.06, "retry_count": 1}


@pytest.mark.parametrize("metrics", [None, [], "m4rk3r", 5, {}])
def test_metrics_may_be_absent(answered: Callable[..., Vendor], metrics: object) -> None:
    """A run that goes on has none."""
    assert result_of(answered, metrics=metrics).run.metrics == {}


def test_metrics_can_be_stored(answered: Callable[..., Vendor]) -> None:
    """Few, with short names that a database can hold: a run that was paid is not lost over them."""
    names = ["a\0b", "\ud800", "x" * 10_000, *map(str, range(1000))]
    metrics = result_of(answered, metrics=dict.fromkeys(names, 1)).run.metrics
    assert len(metrics) <= 32
    assert all(len(name) <= 64 for name in metrics)
    assert b"\\u0000" not in json.dumps(dict(metrics), ensure_ascii=False, allow_nan=False).encode()


@pytest.mark.parametrize(
    ("body", "balance"),
    [
        ({"credits": 7.5, "free-credits": 2}, 9.5),
        ({"credits": 7.5}, 7.5),
        ({"credits": "7", "free-credits": None}, 0),
        ({}, 0),
    ],
)
def test_the_balance(answered: Callable[..., Vendor], body: dict[str, Any], balance: float) -> None:
    """Credits and free credits count alike."""
    assert answered(200, body).credits() == balance


def test_what_is_sent(vendor: ScriptedVendor) -> None:
    """The key in its header, the content type that the vendor insists on, the parameters as JSON."""
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return reply(200, {"request_id": "id", "status": "QUEUED"})

    vendor.answering = answer
    vendor.submit({"image": "x", "seed": 7})
    vendor.status("id")
    vendor.result("id")
    assert [(request.method, str(request.url)) for request in seen] == [
        ("POST", "https://api.segmind.com/v2/sam-3d-objects"),
        ("GET", "https://api.segmind.com/v2/requests/id/status"),
        ("GET", "https://api.segmind.com/v2/requests/id"),
    ]
    assert json.loads(seen[0].content) == {"image": "x", "seed": 7}
    assert {request.headers["content-type"] for request in seen} == {"application/json"}
    assert all("x-api-key" in request.headers and "authorization" not in request.headers for request in seen)
