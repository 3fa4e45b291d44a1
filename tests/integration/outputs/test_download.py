"""Downloads from the simulated file host: whole files are kept, all else is refused and leaves nothing."""

import base64
import hashlib
import io
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import IO, Any

import httpx
import pytest
from pydantic import SecretStr

from worker.config.environment import Settings
from worker.errors import OutputBroken, OutputUnusable, RemoteUnavailable, Sam3dError
from worker.outputs.download import MAX_REDIRECTS, Downloads, _Copy
from worker.rules.output_files import FetchedFile
from worker.simulator import Simulator, SimulatorSettings
from worker.vendor.api import Vendor

PHOTO = base64.b64encode(Path("worker/photos/cat.png").read_bytes()).decode()
CAP = 8 * 2**20
SHORT = timedelta(seconds=0.4)
GENEROUS = 8.0
Limited = Callable[..., Downloads]


@pytest.fixture(scope="module")
def running_simulator() -> Iterator[Simulator]:
    """Run one simulator for all tests; its runs are over at once."""
    with Simulator(SimulatorSettings.model_validate({"run_time": 0})) as simulated:
        yield simulated


@pytest.fixture
def simulator(running_simulator: Simulator) -> Simulator:
    """Provide a vendor that goes wrong in no way."""
    running_simulator.clear_faults()
    return running_simulator


@pytest.fixture(scope="module")
def addresses(running_simulator: Simulator) -> tuple[str, ...]:
    """Provide where a model and its ZIP are."""
    vendor = Vendor(
        Settings().having(SEGMIND_API_KEY=SecretStr("SG_0123456789abcdef"), SEGMIND_BASE_URL=running_simulator.url)
    )
    run = vendor.submit({"image": PHOTO, "include_artifacts": True}).request_id
    found = vendor.result(run).addresses
    vendor.close()
    return found


@pytest.fixture
def model(addresses: tuple[str, ...]) -> str:
    """Provide the address of a model."""
    return addresses[0]


def settings_of(simulator: Simulator, **changes: Any) -> Settings:
    """Return the settings of downloads from the simulator."""
    values: dict[str, Any] = {"SAM3D_OUTPUT_HOSTS": (simulator.url,), "SAM3D_MAX_OUTPUT_BYTES": CAP}
    return Settings().having(**(values | changes))


@pytest.fixture(scope="module")
def downloads(running_simulator: Simulator) -> Iterator[Downloads]:
    """Provide downloads from the simulator."""
    made = Downloads(settings_of(running_simulator))
    yield made
    made.close()


@pytest.fixture
def limited(simulator: Simulator) -> Iterator[Limited]:
    """Provide what makes downloads with other settings."""
    made: list[Downloads] = []

    def create(**changes: Any) -> Downloads:
        made.append(Downloads(settings_of(simulator, **changes)))
        return made[-1]

    yield create
    for each in made:
        each.close()


@pytest.fixture
def opened_files(monkeypatch: pytest.MonkeyPatch) -> list[IO[bytes]]:
    """Provide the list of temporary files that were opened."""
    opened: list[IO[bytes]] = []
    genuine = tempfile.TemporaryFile

    def remembered() -> IO[bytes]:
        opened.append(genuine())
        return opened[-1]

    monkeypatch.setattr(tempfile, "TemporaryFile", remembered)
    return opened


def refused(call: Callable[[], FetchedFile]) -> Sam3dError:
    """Return the error of a download, or the flaw of its file; neither quotes the address, which anybody could read."""
    try:
        with closing(call()) as file:
            assert file.flaw, "it is sound"
            error: Sam3dError = OutputBroken(file.flaw)
    except Sam3dError as raised:
        error = raised
    assert "://" not in str(error)
    assert "/outputs/" not in str(error)
    return error


def test_a_model_and_its_artifacts(downloads: Downloads, addresses: tuple[str, ...]) -> None:
    """Both are told by their bytes, measured and hashed."""
    files = [downloads.fetch(address) for address in addresses]
    assert [(file.name, file.media_type) for file in files] == [
        ("model.glb", "model/gltf-binary"),
        ("artifacts.zip", "application/zip"),
    ]
    for file in files:
        file.content.seek(0)
        content = file.content.read()
        assert (file.size, file.sha256) == (len(content), hashlib.sha256(content).hexdigest())
        file.content.close()


BROKEN: list[tuple[dict[str, Any], str]] = [
    ({"kind": "reset"}, "broke off"),
    ({"kind": "drop_answer"}, "broke off"),
    ({"kind": "empty"}, "0 bytes is no GLB"),
    ({"kind": "wrong_magic"}, "is no GLB"),
    ({"kind": "html"}, "is no GLB"),
    ({"kind": "wrong_json"}, "is no GLB"),
    ({"kind": "broken_json"}, "The GLB says it has"),
    ({"kind": "gzip_bomb"}, "encoded body"),
    ({"kind": "gone"}, "answers 404"),
    ({"kind": "status", "http_status": 206}, "answers 206"),
    ({"kind": "status", "http_status": 403}, "answers 403"),
    ({"kind": "status", "http_status": 500}, "answers 500"),
]


@pytest.mark.parametrize(("rule", "evidence"), BROKEN)
def test_a_file_that_did_not_arrive_whole(
    simulator: Simulator,
    downloads: Downloads,
    model: str,
    opened_files: list[IO[bytes]],
    rule: dict[str, Any],
    evidence: str,
) -> None:
    """The evidence is told, the temporary file is gone, and another try may be better."""
    simulator.add_fault(call="download", count=1, **rule)
    error = refused(lambda: downloads.fetch(model))
    did_arrive = not evidence.startswith(("broke off", "answers"))
    assert type(error) is (OutputBroken if did_arrive else RemoteUnavailable)
    assert evidence in str(error)
    assert [file.closed for file in opened_files] == [True]
    with downloads.fetch(model).content as content:
        assert not content.closed


def test_without_a_place_for_it(downloads: Downloads, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another try may find one: the job waits."""
    monkeypatch.setattr(tempfile, "tempdir", "/proc")
    error = refused(lambda: downloads.fetch(model))
    assert type(error) is RemoteUnavailable
    assert str(error) == "No temporary file can be made (No such file or directory)."


def test_a_download_that_is_cut_goes_on_where_it_broke(
    simulator: Simulator, downloads: Downloads, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No byte comes twice where the host knows ranges."""
    with closing(downloads.fetch(model)) as whole:
        whole.content.seek(0)
        content = whole.content.read()
    received: list[int] = []
    take = _Copy.add

    def counted(copy: _Copy, chunk: bytes) -> None:
        received.append(len(chunk))
        take(copy, chunk)

    monkeypatch.setattr(_Copy, "add", counted)
    simulator.add_fault(call="download", kind="truncate", count=3)
    with closing(downloads.fetch(model)) as file:
        file.content.seek(0)
        assert file.content.read() == content
    assert sum(received) == file.size == len(content)


def test_a_download_that_is_cut_begins_anew_where_the_host_knows_no_ranges(
    simulator: Simulator, downloads: Downloads, model: str
) -> None:
    """With the next try of the job."""
    simulator.update(output_ranges=False)
    simulator.add_fault(call="download", kind="truncate", count=1)
    assert "broke off" in str(refused(lambda: downloads.fetch(model)))
    simulator.update(output_ranges=True)


def test_a_file_that_changed_meanwhile_is_read_from_its_beginning() -> None:
    """The host has another mark for it, and so sends all of it."""
    copy = _Copy(io.BytesIO())
    copy.begin(httpx.Response(200, headers={"etag": '"one"', "accept-ranges": "bytes", "content-length": "16"}))
    copy.add(b"half of ")
    assert copy.headers == {"range": "bytes=8-", "if-range": '"one"'}
    copy.begin(httpx.Response(200, headers={"etag": '"two"', "accept-ranges": "bytes", "content-length": "12"}))
    copy.add(b"another file")
    assert (copy.size, copy.content.getvalue(), copy.digest.hexdigest()) == (  # type: ignore[attr-defined]
        12,
        b"another file",
        hashlib.sha256(b"another file").hexdigest(),
    )


@pytest.mark.parametrize("part", ["bytes 0-7/16", "bytes 9-15/16", "bytes 8-15/17", "bytes 8-15/*", "", "nonsense"])
def test_another_part_than_was_asked_for_is_not_taken(part: str) -> None:
    """It would be joined in the wrong place."""
    copy = _Copy(io.BytesIO())
    copy.begin(httpx.Response(200, headers={"etag": '"one"', "accept-ranges": "bytes", "content-length": "16"}))
    copy.add(b"half of ")
    with pytest.raises(RemoteUnavailable, match="206"):
        copy.begin(httpx.Response(206, headers={"content-range": part}))


def test_a_part_that_ends_early_is_not_the_end() -> None:
    """A host may send less than was asked for: the rest is asked for again, and none of it is taken for the whole."""
    copy = _Copy(io.BytesIO())
    copy.begin(httpx.Response(200, headers={"etag": '"one"', "accept-ranges": "bytes", "content-length": "16"}))
    copy.add(b"half of ")
    copy.begin(httpx.Response(206, headers={"content-range": "bytes 8-11/16"}))
    copy.add(b"all ")
    with pytest.raises(RemoteUnavailable, match="after 12 of 16 bytes"):
        copy.require_all()
    assert copy.headers == {"range": "bytes=12-", "if-range": '"one"'}
    copy.begin(httpx.Response(206, headers={"content-range": "bytes 12-15/16"}))
    copy.add(b"that")
    copy.require_all()


@pytest.mark.parametrize(
    "headers",
    [{}, {"etag": '"x"'}, {"etag": 'W/"x"', "accept-ranges": "bytes"}, {"etag": '"a\tb"', "accept-ranges": "bytes"}],
)
def test_without_a_mark_of_the_file_it_is_asked_for_as_a_whole(headers: dict[str, str]) -> None:
    """A part of one file and a part of another would make a third."""
    copy = _Copy(io.BytesIO())
    copy.begin(httpx.Response(200, headers=headers))
    copy.add(b"half of ")
    assert copy.headers == {}


@pytest.mark.parametrize("buffering", [-1, CAP], ids=["found while writing", "found in the end"])
def test_on_a_full_disk(downloads: Downloads, model: str, monkeypatch: pytest.MonkeyPatch, buffering: int) -> None:
    """The reason is told in the system's words."""
    monkeypatch.setattr(tempfile, "TemporaryFile", partial(open, "/dev/full", "w+b", buffering))
    error = refused(lambda: downloads.fetch(model))
    assert type(error) is RemoteUnavailable
    assert str(error) == "The download broke off (No space left on device)."


@pytest.mark.parametrize("kind", ["huge_body", "endless_body"])
def test_a_file_larger_than_the_cap(
    simulator: Simulator, limited: Limited, model: str, opened_files: list[IO[bytes]], kind: str
) -> None:
    """No more of it than that is ever on the disk."""
    simulator.add_fault(call="download", kind=kind)
    error = refused(lambda: limited(SAM3D_MAX_OUTPUT_BYTES=2**20).fetch(model))
    assert type(error) is OutputUnusable
    assert "SAM3D_MAX_OUTPUT_BYTES (1048576)" in str(error)
    assert [file.closed for file in opened_files] == [True]


@pytest.mark.parametrize(("excess", "fits"), [(0, True), (-1, False)])
def test_the_cap_itself_fits(downloads: Downloads, limited: Limited, model: str, excess: int, *, fits: bool) -> None:
    """To the byte."""
    with downloads.fetch(model).content as content:
        size = content.seek(0, 2)
    downloads = limited(SAM3D_MAX_OUTPUT_BYTES=size + excess)
    if fits:
        downloads.fetch(model).content.close()
    else:
        assert type(refused(lambda: downloads.fetch(model))) is OutputUnusable


def test_a_zip_with_bad_names_is_not_kept(simulator: Simulator, downloads: Downloads, addresses: Any) -> None:
    """Whoever unpacked it would write elsewhere."""
    simulator.add_fault(call="download", kind="bad_zip")
    error = refused(lambda: downloads.fetch(addresses[1]))
    assert type(error) is OutputUnusable
    assert str(error) == "The ZIP was not kept: a name in it leads out of its folder."


@pytest.mark.parametrize("kind", ["hang", "slow_bytes", "slow_headers"])
def test_a_slow_download_ends_at_its_deadline(
    simulator: Simulator, limited: Limited, model: str, opened_files: list[IO[bytes]], kind: str
) -> None:
    """A byte now and then does not keep it alive."""
    simulator.add_fault(call="download", kind=kind)
    began = time.monotonic()
    assert type(refused(lambda: limited(SAM3D_DOWNLOAD_DEADLINE=SHORT).fetch(model))) is RemoteUnavailable
    assert SHORT.total_seconds() <= time.monotonic() - began < GENEROUS
    assert [file.closed for file in opened_files] == [True]


@pytest.mark.parametrize("times", [1, MAX_REDIRECTS])
def test_a_few_redirects_are_followed(simulator: Simulator, downloads: Downloads, model: str, times: int) -> None:
    """To an address that is checked like the first."""
    simulator.add_fault(call="download", kind="redirect", url=model, count=times)
    with downloads.fetch(model).content as content:
        assert content.seek(0, 2) > 0


def test_a_redirect_may_be_relative(simulator: Simulator, downloads: Downloads, model: str) -> None:
    """As many file hosts write it."""
    simulator.add_fault(call="download", kind="redirect", url=model.removeprefix(simulator.url), count=1)
    downloads.fetch(model).content.close()


def test_redirects_end(simulator: Simulator, downloads: Downloads, model: str, opened_files: list[IO[bytes]]) -> None:
    """One too many is no file."""
    before = simulator.requests()["total"]
    simulator.add_fault(call="download", kind="redirect", url=model)
    error = refused(lambda: downloads.fetch(model))
    assert type(error) is OutputUnusable
    assert "too many redirects" in str(error)
    assert simulator.requests()["total"] - before == MAX_REDIRECTS + 1
    assert [file.closed for file in opened_files] == [True]


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:1/model.glb",
        "http://localhost:80/model.glb",
        "http://169.254.169.254/latest/meta-data",
        "http://[::1]/model.glb",
        "http://[::ffff:169.254.169.254]/",
        "https://example.com/model.glb",
        "file:///etc/passwd",
        "//169.254.169.254/",
    ],
)
def test_a_redirect_elsewhere_is_refused(
    simulator: Simulator, downloads: Downloads, model: str, opened_files: list[IO[bytes]], url: str
) -> None:
    """Before anything is connected."""
    simulator.add_fault(call="download", kind="redirect", url=url)
    error = refused(lambda: downloads.fetch(model))
    assert type(error) is OutputUnusable
    assert str(error).startswith("The output was not downloaded: the output's ")
    assert [file.closed for file in opened_files] == [True]


@pytest.mark.parametrize("url", ["http://[", "https://", "http://a b/", "", "http://x:99999/"])
def test_a_redirect_to_nowhere(simulator: Simulator, downloads: Downloads, model: str, url: str) -> None:
    """Nonsense in a header is an error of the output."""
    simulator.add_fault(call="download", kind="redirect", url=url)
    assert type(refused(lambda: downloads.fetch(model))) in {OutputBroken, OutputUnusable}


def test_an_address_of_another_host_is_not_connected(downloads: Downloads, opened_files: list[IO[bytes]]) -> None:
    """What the vendor says is not trusted."""
    error = refused(lambda: downloads.fetch("http://127.0.0.1:1/model.glb"))
    assert type(error) is OutputUnusable
    assert [file.closed for file in opened_files] == [True]
