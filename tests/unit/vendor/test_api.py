"""What each answer of the vendor means: every HTTP status and every error of httpx is decided."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import cycle
from typing import Any

import httpx
import pytest

from worker import network as network_module
from worker.config.environment import Settings
from worker.errors import (
    AccountHeld,
    HistoryMissing,
    HoldCause,
    NotSent,
    RemoteRateLimited,
    RemoteRefused,
    RemoteRequestGone,
    RemoteUnavailable,
    Sam3dError,
    SubmitUnknown,
)
from worker.rules.addresses import MAX_ADDRESSES
from worker.rules.run import RemoteStatus, RunResult, RunStatus
from worker.vendor import api as vendor_module
from worker.vendor.api import MAX_PAGES, Vendor
from worker.vendor.paging import Reading
from worker.vendor.received import Answer

MARKER = "m4rk3r"
OUTPUT = "https://files.segmind.com/model.glb"
ZIP = "https://files.segmind.com/artifacts.zip?token=1"
RUN = "https://files.segmind.com/0a1b2c"
IN_ONE_FOLDER = (f"{RUN}/a.glb?at=/x", f"{RUN}/a.txt", f"{RUN}/b/c.dat")
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
    assert getattr(found, "http_status", None) is None


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
    402: HoldCause.CREDITS,
    403: HoldCause.FORBIDDEN,
    404: HoldCause.MODEL,
    405: HoldCause.PROTOCOL,
    406: HoldCause.PROTOCOL,
    410: HoldCause.MODEL,
    413: RemoteRefused,
    415: RemoteRefused,
    422: RemoteRefused,
    429: RemoteRateLimited,
    451: RemoteRefused,
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
    """Only a listed 4xx means that no run was started; all else may have been paid, and the ledger is told which."""
    for code, body in zip(range(family, family + 100), cycle(BODIES), strict=False):
        error = raised(partial(told(code, body).submit, {}))  # Also what accepts has no id here.
        assert (code, meaning(error)) == (code, ON_SUBMIT.get(code, SubmitUnknown))
        assert getattr(error, "http_status", code) == code


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


@pytest.mark.parametrize("request_id", ["0f1e2d3c-4b5a-4697-8877-665544332211", "req_1:a.b"])
def test_an_accepted_submit_has_an_id(answered: Callable[..., Vendor], request_id: str) -> None:
    """It is all that is needed to follow the run."""
    for code in (200, 201, 202):
        submitted = answered(code, {"request_id": request_id}).submit({})
        assert (submitted.request_id, submitted.http_status) == (request_id, code)


@pytest.mark.parametrize("request_id", [None, "", 5, [], {}, "a/b", "../x", "a b", "a?b", "a\n", "é", "x" * 200, "%2e"])
def test_an_id_that_can_not_be_followed(answered: Callable[..., Vendor], request_id: object) -> None:
    """It is paid and lost: a person has to look. No id can lead a read to another address."""
    assert type(raised(lambda: answered(200, {"request_id": request_id}).submit({}))) is SubmitUnknown


@pytest.mark.parametrize("word", ["QUEUED", "PROCESSING", "COMPLETED", "FAILED"])
def test_known_statuses(answered: Callable[..., Vendor], word: str) -> None:
    """The vendor's words are ours."""
    assert answered(200, {"status": word, "request_id": "id"}).status("id").status is RemoteStatus(word)


@pytest.mark.parametrize("word", ["MELTING", "", "completed", " COMPLETED", None, 5, True, [], {}, ["COMPLETED"]])
def test_unknown_statuses(answered: Callable[..., Vendor], word: object) -> None:
    """A word that nobody knows is a run that has not ended."""
    assert RemoteStatus.of(word) is RemoteStatus.UNRECOGNISED
    assert answered(200, {"status": word}).status("id").status is RemoteStatus.UNRECOGNISED


def test_a_failed_run_is_an_answer(answered: Callable[..., Vendor]) -> None:
    """It is served with 422 and says why; it is no error of the call."""
    run = answered(422, {"status": "FAILED", "request_id": "id", "error": "no object", "metrics": {}}).status("id")
    assert run == RunStatus(RemoteStatus.FAILED, {}, "no object")


@pytest.mark.parametrize("error", [None, 5, ["x"], {"message": "x"}])
def test_an_error_that_is_no_sentence(answered: Callable[..., Vendor], error: object) -> None:
    """It says nothing."""
    assert answered(422, {"status": "FAILED", "request_id": "id", "error": error}).status("id").error is None


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
        ({"output": {"a": [{"b": [{"c": {"url": OUTPUT}}]}]}, "d": {"e": [{"f": {"url": ZIP}}]}}, [OUTPUT, ZIP]),
        ({"output": f"{RUN}/a.glb?at=/x", "notes": f"{RUN}/a.txt", "z": f"{RUN}/b/c.dat"}, list(IN_ONE_FOLDER)),
        (
            {"output": f"{RUN}/a.glb", "page": f"{RUN}/about", "terms": "https://files.segmind.com/a.txt"},
            [f"{RUN}/a.glb"],
        ),
        ({"output": "https://model.glb", "terms": "https://segmind.com/terms.txt"}, ["https://model.glb"]),
        ({"output": "https://files.segmind.com/0a1b2c"}, ["https://files.segmind.com/0a1b2c"]),
        ({}, []),
        ({"output": None}, []),
        ({"output": []}, []),
        ({"output": {}}, []),
        ({"output": [5, True, "", "model.glb", "ftp://x/model.glb"]}, []),
        ({"output": ["https://x/\0.glb", "https://x/\ud800", "https://x/" + "a" * 5000, OUTPUT]}, [OUTPUT]),
        ({"output": None, "image": "https://example.com/cat.png", "status_url": "https://api.segmind.com/v2/x"}, []),
    ],
)
def test_outputs_in_any_shape(answered: Callable[..., Vendor], body: dict[str, Any], addresses: list[str]) -> None:
    """A URL, a list, an object, or none; files beside it too, but not the echo of an input or a link."""
    assert list(result_of(answered, **body).addresses) == addresses


@pytest.mark.parametrize("word", ["SUCCEEDED", "completed", None, 5])
def test_a_result_with_an_output_is_over(answered: Callable[..., Vendor], word: object) -> None:
    """Under whatever word that nobody knows; one that is known counts; a file beside a missing output is none."""
    assert result_of(answered, status=word, output=OUTPUT).run.status is RemoteStatus.COMPLETED
    assert result_of(answered, status=word, model=OUTPUT).run.status is RemoteStatus.UNRECOGNISED
    assert result_of(answered, status="PROCESSING", output=OUTPUT).run.status is RemoteStatus.PROCESSING
    stranger = answered(200, {"status": word, "output": OUTPUT})
    assert stranger.result("id") == RunResult(RunStatus(RemoteStatus.UNRECOGNISED, {}, None), ())


def test_outputs_are_bounded(answered: Callable[..., Vendor]) -> None:
    """Nobody downloads ten thousand files, or follows an output for ever."""
    nested: Any = OUTPUT
    for _ in range(50):
        nested = [nested]
    assert result_of(answered, output=nested).addresses == ()
    assert len(result_of(answered, output=[f"{OUTPUT}?{n}" for n in range(10_000)]).addresses) == MAX_ADDRESSES


def test_no_model_is_left_out_of_many_files(answered: Callable[..., Vendor]) -> None:
    """Whatever comes before it; the others stay as they were named."""
    pictures = [f"https://files.segmind.com/view-{number}.png" for number in range(40)]
    named = result_of(answered, output=[*pictures, OUTPUT]).addresses
    assert named == (OUTPUT, *pictures[: MAX_ADDRESSES - 1])


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
        ({"credits": "7", "free-credits": None}, None),
        ({}, None),
    ],
)
def test_the_balance(answered: Callable[..., Vendor], body: dict[str, Any], balance: float | None) -> None:
    """Credits and free credits count alike; an answer without either says nothing."""
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


TODAY = datetime(2026, 1, 2, 12, tzinfo=UTC)
FOUND = [f"run{n}" for n in range(250)]


def listed(request_id: str, age: timedelta = timedelta(0), **fields: object) -> dict[str, object]:
    """Return a row of the request history."""
    row = {"request_id": request_id, "model_created": (TODAY - age).isoformat(), "request_body": {}}
    return {**row, "model_status": "PENDING", **fields}


def history_of(rows: list[dict[str, object]], limit: int = 100) -> Answering:
    """Return a history that gives pages of at most ``limit`` of these rows, whatever is asked for."""

    def answer(request: httpx.Request) -> httpx.Response:
        size = min(limit, int(request.url.params["per_page"]))
        start = (int(request.url.params["page"]) - 1) * size
        return reply(200, {"data": rows[start : start + size]})

    return answer


@pytest.mark.parametrize("limit", [100, 20])
def test_the_history_is_read_to_its_end(vendor: ScriptedVendor, limit: int) -> None:
    """A short page may be the vendor's own limit: the end is a page without rows."""
    vendor.answering = history_of([listed(each) for each in FOUND], limit)
    look = vendor.history(Reading(TODAY, TODAY))
    assert (list(look.requests), look.is_complete) == (FOUND, True)


def test_the_history_is_read_no_further_than_asked_for(vendor: ScriptedVendor) -> None:
    """It is sorted by time, the newest first; the days around are asked for, as their time zone is not known."""
    asked: list[httpx.Request] = []
    rows = history_of([listed(each, timedelta(minutes=n)) for n, each in enumerate(FOUND)])

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return rows(request)

    vendor.answering = answer
    look = vendor.history(Reading(TODAY - timedelta(minutes=10), TODAY))
    assert look.is_complete
    assert list(look.requests)[:11] == FOUND[:11]
    assert [dict(request.url.params) for request in asked] == [
        {
            "per_page": "100", "from_date": "2026-01-01", "to_date": "2026-01-03", "sort_by": "model_created",
            "sort_order": "desc", "page": str(number),
        }
        for number in (1, 2)
    ]  # fmt: skip


def test_a_page_that_comes_again_proves_nothing(vendor: ScriptedVendor) -> None:
    """What it showed is still good to find a run in."""
    vendor.answering = history_of([listed("run") for _ in range(10_000)])
    reading = Reading(TODAY, TODAY)
    look = vendor.history(reading)
    assert (list(look.requests), look.is_complete, reading.is_over) == (["run"], False, True)


def test_a_long_history_is_read_in_turns(vendor: ScriptedVendor) -> None:
    """What comes meanwhile moves the rows to later pages, by whole pages too: what was there at first is all found."""
    rows = [listed(f"run-{n}") for n in range(100 * MAX_PAGES + 250)]
    vendor.answering = history_of(rows)
    reading = Reading(TODAY, TODAY)
    first = vendor.history(reading)
    assert (len(first.requests), first.is_complete, reading.is_over) == (100 * MAX_PAGES, False, False)
    vendor.answering = history_of([listed(f"new-{n}") for n in range(350)] + rows)
    reading.begin_turn(TODAY)
    whole = vendor.history(reading)
    assert (len(whole.requests), whole.is_complete, reading.is_over) == (len(rows), True, True)


def test_a_turn_that_has_no_time_left_leaves_no_page_out(
    vendor: ScriptedVendor, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page that the deadline cut off is the first of the next turn."""
    answer = history_of([listed(each) for each in FOUND])
    clock, within = [0.0], settings.run.read_deadline.total_seconds()
    monkeypatch.setattr(network_module, "_now", lambda: clock[0])

    def slow(request: httpx.Request) -> httpx.Response:
        clock[0] += 0.6 * within
        if clock[0] > within:
            raise httpx.ReadTimeout("the deadline of the whole call passed")
        return answer(request)

    vendor.answering = slow
    reading = Reading(TODAY, TODAY)
    assert (len(vendor.history(reading).requests), reading.is_over) == (100, False)
    clock[0] = 0.0
    vendor.answering = answer
    reading.begin_turn(TODAY)
    look = vendor.history(reading)
    assert (list(look.requests), look.is_complete) == (FOUND, True)


def test_pages_that_are_too_large_are_read_in_parts(vendor: ScriptedVendor, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row has the inputs as sent, images included."""
    monkeypatch.setattr(vendor_module, "LARGEST_PAGE_BYTES", 20_000)
    vendor.answering = history_of([listed(each, request_body={"image": "x" * 1000}) for each in FOUND[:30]])
    look = vendor.history(Reading(TODAY, TODAY))
    assert (list(look.requests), look.is_complete) == (FOUND[:30], True)


def test_a_row_that_is_too_large_is_no_answer(vendor: ScriptedVendor, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bodies that are read stay bounded."""
    monkeypatch.setattr(vendor_module, "LARGEST_PAGE_BYTES", 500)
    vendor.answering = history_of([listed("run", request_body={"image": "x" * 1000})])
    assert type(raised(lambda: vendor.history(Reading(TODAY, TODAY)))) is RemoteUnavailable
    vendor.answering = lambda _: reply(200, listed("run", request_body={"image": "x" * 1000}))
    assert type(raised(lambda: vendor.listed("run", wants_all=False))) is RemoteUnavailable
    assert type(raised(vendor.require_history)) is RemoteUnavailable


@pytest.mark.parametrize("family", range(100, 600, 100))
def test_each_status_is_decided_on_the_history(told: Callable[[int, bytes], Vendor], family: int) -> None:
    """Another host, known from the SDK alone: it is away for now, or it is not what we know."""
    later = {401, 403, 408, 425, 429, *range(500, 600)}
    for code, body in zip({*range(family, family + 100)} - {200}, cycle(BODIES), strict=False):
        error = raised(partial(told(code, body).history, Reading(TODAY, TODAY)))
        assert (code, type(error)) == (code, RemoteUnavailable if code in later else HistoryMissing)


@pytest.mark.parametrize("error", HTTPX_ERRORS)
def test_each_error_of_httpx_is_decided_on_the_history(vendor: ScriptedVendor, error: type[Exception]) -> None:
    """It is asked again later, whatever broke."""
    vendor.answering = broken(error)
    assert type(raised(lambda: vendor.history(Reading(TODAY, TODAY)))) is RemoteUnavailable
    assert type(raised(lambda: vendor.listed("run", wants_all=False))) is RemoteUnavailable


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[" * 9999, None, {}, {"rows": 5}, [listed("a/b")], [{"id": "run"}]],
    ids=["nothing", "HTML", "nested", "null", "no list", "a number", "no id", "other rows"],
)
def test_a_history_of_another_form_is_none(answered: Callable[..., Vendor], body: object) -> None:
    """An empty list that is not one would prove that a run is absent."""
    vendor = answered(200, body)
    assert type(raised(lambda: vendor.history(Reading(TODAY, TODAY)))) is HistoryMissing


@pytest.mark.parametrize("body", [listed("run"), [listed("other"), listed("run")], {"data": listed("run")}])
def test_one_request_is_looked_up(answered: Callable[..., Vendor], body: object) -> None:
    """By its id, of any age."""
    found = answered(200, body).listed("run", wants_all=False)
    assert found
    assert found.request_id == "run"


@pytest.mark.parametrize("body", [[], [listed("other")], listed("other"), {}])
def test_one_request_that_is_not_listed(answered: Callable[..., Vendor], body: object) -> None:
    """Another one is not taken for it."""
    assert answered(200, body).listed("run", wants_all=False) is None


def test_all_outputs_of_a_request_are_looked_for(vendor: ScriptedVendor) -> None:
    """Its own page has one row; the others are among those of its day."""
    rows = [listed("run", generation_url=OUTPUT), listed("run", generation_url=ZIP), listed("other")]

    def answer(request: httpx.Request) -> httpx.Response:
        return reply(200, rows[0]) if request.url.path.endswith("/run") else history_of(rows)(request)

    vendor.answering = answer
    for wants_all, addresses in ((False, (OUTPUT,)), (True, (OUTPUT, ZIP))):
        found = vendor.listed("run", wants_all=wants_all)
        assert found
        assert found.addresses == addresses
