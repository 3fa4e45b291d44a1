"""Which addresses are reached and until when; what may not be reached is refused before anything is connected."""

import http.server
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import ClassVar

import httpcore
import httpx
import pytest

from worker import network
from worker.config.environment import Settings
from worker.errors import OutputUnusable, RemoteUnavailable
from worker.network import MOST_ADDRESSES, _DeadlineStream, _PlainClient, create_client, deadline
from worker.outputs.download import Downloads
from worker.places import AllowedHosts
from worker.resolver import MOST_LOOKUPS, Resolver

HOSTS = AllowedHosts((".segmind.com", "files.example", "http://127.0.0.1:9100"))
PRIVATE = [
    "127.0.0.1", "127.8.9.1", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
    "192.0.2.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
    "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1",
    "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "2002:7f00:1::",
    "2002:a9fe:a9fe::1", "2001:0:7f00:1::", "64:ff9b::7f00:1", "64:ff9b::10.0.0.1", "64:ff9b:1::7f00:1",
]  # fmt: skip


@pytest.mark.parametrize(
    "url",
    [
        "https://files.segmind.com/model.glb",
        "https://a.b.segmind.com:443/model.glb?token=1",
        "HTTPS://FILES.SEGMIND.COM/model.glb",
        "https://files.example/",
        "http://127.0.0.1:9100/outputs/model.glb",
    ],
)
def test_allowed_addresses(url: str) -> None:
    """A name, a domain's names, and the one plain address that the operator named."""
    assert HOSTS.refusal(url) is None


@pytest.mark.parametrize(
    "url",
    [
        "http://files.segmind.com/m4rk3r",
        "ftp://files.segmind.com/m4rk3r",
        "file:///etc/m4rk3r",
        "//files.segmind.com/m4rk3r",
        "m4rk3r",
        "",
        "https:///m4rk3r",
        "https://files.segmind.com:8443/m4rk3r",
        "https://files.segmind.com:80/m4rk3r",
        "https://files.segmind.com:0/m4rk3r",
        "https://files.segmind.com:99999/m4rk3r",
        "https://files.segmind.com:m4rk3r/",
        "https://m4rk3r@files.segmind.com/",
        "https://user:m4rk3r@files.segmind.com/",
        "https://@files.segmind.com/m4rk3r",
        "https://segmind.com/m4rk3r",
        "https://m4rk3rsegmind.com/",
        "https://files.segmind.com.m4rk3r.example/",
        "https://files.segmind.com./m4rk3r",
        "https://files.segmind.com@m4rk3r.example/",
        "https://m4rk3r.example/.segmind.com",
        "https://m4rk3r.example?.segmind.com",
        "https://m4rk3r.example#.segmind.com",
        "https://m4rk3r.example\\.segmind.com/",
        "https://m4rk3r.example\\@files.segmind.com/",
        "https://sub.files.example/m4rk3r",
        "https://files.\uff45xample/m4rk3r",
        "https://filés.example/m4rk3r",
        "https://127.0.0.1/m4rk3r",
        "https://127.0.0.1:9100/m4rk3r",
        "http://127.0.0.1/m4rk3r",
        "http://127.0.0.1:9101/m4rk3r",
        "http://127.0.0.2:9100/m4rk3r",
        "http://localhost:9100/m4rk3r",
        "http://2130706433:9100/m4rk3r",
        "http://0x7f.1:9100/m4rk3r",
        "http://[::ffff:127.0.0.1]:9100/m4rk3r",
        "https://[::1]/m4rk3r",
        "https://[m4rk3r/",
        "https://169.254.169.254/latest/m4rk3r",
    ],
)
def test_other_addresses_are_refused(url: str) -> None:
    """Whatever looks like an allowed one and is not; the sentence does not quote it."""
    refusal = HOSTS.refusal(url)
    assert refusal
    assert refusal.startswith("the output's ")
    assert "m4rk3r" not in refusal


def test_no_hosts_allow_nothing() -> None:
    """An empty list is not the same as none."""
    assert AllowedHosts(()).refusal("https://files.segmind.com/model.glb")


def test_an_entry_may_be_in_capitals() -> None:
    """Names of hosts have no case."""
    assert AllowedHosts(("Files.Example", ".Segmind.COM")).refusal("https://files.example/") is None


@pytest.fixture
def resolve(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Return what sets the addresses that any name has, and gives the list of those that were connected to."""

    def resolving(*addresses: str) -> list[str]:
        connected: list[str] = []
        answers = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443)) for address in addresses]

        def connect(target: tuple[str, int], *_: object, **__: object) -> socket.socket:
            connected.append(target[0])
            raise ConnectionRefusedError

        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answers)
        monkeypatch.setattr(socket, "create_connection", connect)
        return connected

    return resolving


@pytest.fixture(scope="module")
def downloads() -> Iterator[Downloads]:
    """Return downloads from the vendor's hosts."""
    downloads = Downloads(Settings().having(SAM3D_OUTPUT_HOSTS=(".segmind.com",)))
    yield downloads
    downloads.close()


@pytest.mark.parametrize("address", PRIVATE)
def test_a_name_of_a_private_address_is_not_connected(
    downloads: Downloads, resolve: Callable[..., list[str]], address: str
) -> None:
    """An allowed name may resolve to anything: what is not public is refused before any connect."""
    connected = resolve(address)
    with pytest.raises(OutputUnusable, match="not public"):
        downloads.fetch("https://files.segmind.com/model.glb")
    assert connected == []


def test_one_private_address_among_public_ones_is_enough(
    downloads: Downloads, resolve: Callable[..., list[str]]
) -> None:
    """A name that mixes them is not trusted at all."""
    connected = resolve("8.8.8.8", "10.0.0.1")
    with pytest.raises(OutputUnusable, match="not public"):
        downloads.fetch("https://files.segmind.com/model.glb")
    assert connected == []


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"])
def test_what_was_checked_is_what_is_connected(
    downloads: Downloads, resolve: Callable[..., list[str]], address: str
) -> None:
    """The name is not resolved a second time, when it could be another address."""
    connected = resolve(address)
    with pytest.raises(RemoteUnavailable):
        downloads.fetch("https://files.segmind.com/model.glb")
    assert connected == [address]


@pytest.mark.parametrize(
    "url",
    [
        "https://" + "a" * 64 + ".segmind.com/model.glb",
        "https://a..segmind.com/model.glb",
        "https://.segmind.com/model.glb",
        "https://files.segmind.com/\ud800.glb",
        "https://files.segmind.com/\0.glb",
        "https://files.segmind.com/" + "x" * 70_000,
        "https://xn--a.segmind.com/model.glb",
    ],
)
def test_an_odd_address_is_an_error_of_the_output(
    downloads: Downloads, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    """Whatever the vendor writes there, the step ends with one of our errors."""
    genuine = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *_, **__: genuine(host, None, flags=socket.AI_NUMERICHOST))
    with pytest.raises((RemoteUnavailable, OutputUnusable)):
        downloads.fetch(url)


class Wire(httpcore.NetworkStream):
    """A connection that takes everything and remembers how much."""

    def __init__(self) -> None:
        self.written = 0

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        """Take it."""
        self.written += len(buffer)


def test_a_late_worker_sends_nothing() -> None:
    """One that was frozen until its deadline passed has not sent its first byte: that is known."""
    wire = Wire()
    with deadline(timedelta(0)), pytest.raises(httpcore.ConnectTimeout):
        _DeadlineStream(wire).write(b"POST")
    assert wire.written == 0


def test_a_deadline_in_the_middle_is_a_write_that_timed_out() -> None:
    """Once a byte has left, nobody knows what became of it."""
    wire = Wire()
    stream = _DeadlineStream(wire)
    with deadline(timedelta(minutes=1)):
        stream.write(b"POST")
    with deadline(timedelta(0)), pytest.raises(httpcore.WriteTimeout):
        stream.write(b"body")
    assert wire.written == 4


def test_a_deadline_ends_reads() -> None:
    """However often a byte comes, the whole call ends."""
    with deadline(timedelta(0)), pytest.raises(httpcore.ReadTimeout):
        _DeadlineStream(Wire()).read(1)


def test_a_call_without_a_deadline_is_a_bug() -> None:
    """Nothing is ever sent without one."""
    with create_client(connections=1) as client, pytest.raises(LookupError):
        client.get("http://127.0.0.1:1/")


def test_clients_trust_nothing_around_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy of the environment sees the key, no redirect is followed, no packed body is asked for."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with create_client(connections=1) as client:
        assert not client.trust_env
        assert not client.follow_redirects
        assert client.headers["accept-encoding"] == "identity"
        assert isinstance(client.timeout, httpx.Timeout)


def test_an_empty_answer_of_the_resolver_is_no_address(downloads: Downloads, resolve: Callable[..., list[str]]) -> None:
    """A strange resolver finds a name and gives nothing."""
    connected = resolve()
    with pytest.raises(RemoteUnavailable, match="ConnectError"):
        downloads.fetch("https://files.segmind.com/model.glb")
    assert connected == []


def test_the_next_address_is_tried(downloads: Downloads, resolve: Callable[..., list[str]]) -> None:
    """A host of which one address does not answer is reached at another; a few are enough."""
    addresses = [f"8.8.8.{last}" for last in range(50)]
    connected = resolve(*addresses)
    with pytest.raises(RemoteUnavailable):
        downloads.fetch("https://files.segmind.com/model.glb")
    assert connected == addresses[:MOST_ADDRESSES]


def test_an_address_that_does_not_answer_leaves_time_for_the_next(
    downloads: Downloads, resolve: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine with half an IPv6 reaches a host all the same."""
    resolve("2606:4700::1111", "8.8.8.8")
    given: list[float] = []

    def connect(_: tuple[str, int], timeout: float, **__: object) -> socket.socket:
        given.append(timeout)
        raise TimeoutError if len(given) == 1 else ConnectionRefusedError

    monkeypatch.setattr(socket, "create_connection", connect)
    with pytest.raises(RemoteUnavailable, match="ConnectError"):
        downloads.fetch("https://files.segmind.com/model.glb")
    assert given == pytest.approx([2.5, 5], abs=0.5)


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Let every look-up of a name hang until the test is over, and give the list of them."""
    asked: list[str] = []
    is_over = threading.Event()
    ended = threading.Semaphore(0)

    def hang(host: str, *_: object, **__: object) -> None:
        asked.append(host)
        is_over.wait()
        ended.release()
        raise OSError

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    monkeypatch.setattr(network, "resolver", Resolver())  # Others' threads wait for another look-up.
    yield asked
    is_over.set()
    for _ in asked:
        assert ended.acquire(timeout=30)


def test_a_resolver_that_hangs_ends_at_the_deadline(hanging: list[str]) -> None:
    """It keeps no deadline itself; nothing was sent, and that is known."""
    with create_client(connections=1) as client, deadline(timedelta(seconds=0.1)), pytest.raises(httpx.ConnectTimeout):
        client.get("http://name.example/")
    assert hanging == ["name.example"]


def test_a_download_ends_as_well(hanging: list[str]) -> None:
    """It is tried again later."""
    downloads = Downloads(Settings().having(SAM3D_DOWNLOAD_DEADLINE=timedelta(seconds=0.1)))
    with pytest.raises(RemoteUnavailable, match="ConnectTimeout"):
        downloads.fetch("https://images.segmind.com/model.glb")
    downloads.close()
    assert hanging == ["images.segmind.com"]


def test_look_ups_that_hang_are_few(hanging: list[str]) -> None:
    """Each keeps a thread that nobody can end."""
    with create_client(connections=1) as client:
        for _ in range(MOST_LOOKUPS + 3):
            with deadline(timedelta(seconds=0.02)), pytest.raises(httpx.ConnectTimeout):
                client.get("http://name.example/")
    assert len(hanging) <= MOST_LOOKUPS


@pytest.mark.usefixtures("_no_threads")
def test_a_system_without_threads_is_no_end(hanging: list[str]) -> None:
    """Nothing was sent; and no look-up counts that never began."""
    with create_client(connections=1) as client:
        for _ in range(MOST_LOOKUPS + 3):
            with deadline(timedelta(seconds=5)), pytest.raises(httpx.ConnectError):
                client.get("http://name.example/")
    assert hanging == []


@pytest.fixture
def _no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)


class Baker(http.server.BaseHTTPRequestHandler):
    """Sets a cookie for whatever is asked, and remembers those that come back."""

    came: ClassVar[list[str | None]] = []

    def do_GET(self) -> None:
        """Answer."""
        self.came.append(self.headers["cookie"])
        self.send_response(200)
        self.send_header("set-cookie", "session=m4rk3r; Path=/; Max-Age=3600")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize("allowed", [None, HOSTS])
def test_cookies_are_neither_kept_nor_sent(allowed: AllowedHosts | None) -> None:
    """What one job's answer sets would tie it to the next one's call."""
    Baker.came.clear()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Baker) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        hosts = AllowedHosts((url,)) if allowed else None
        with create_client(connections=1, allowed=hosts) as client, deadline(timedelta(seconds=30)):
            client.get(url)
            client.get(url + "/again")
            assert len(client.cookies) == 0
        server.shutdown()
    assert Baker.came == [None, None]


def test_an_address_is_cut_before_it_is_looked_at() -> None:
    """Normalising a name takes as long as it has marks, squared."""
    refusal = HOSTS.refusal("https://" + "\u0316\u0301" * 2**19)
    assert refusal == "the output's address is too long"


REDIRECTS = ["/there", "https://files.example/there", "http://[", "mailto:m4rk3r", "", "//", "x" * 70_000, "https:///a"]


def came_of(kind: type[httpx.Client], url: str, headers: Mapping[str, str], code: int) -> tuple[object, ...]:
    """Return what a client sends, and what it makes of an answer."""
    sent: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(code, headers=headers, stream=httpx.ByteStream(b"body"))

    made: Callable[..., httpx.Client] = kind
    wire = httpx.MockTransport(answer)
    client = made(wire) if kind is _PlainClient else made(transport=wire)
    came: tuple[object, ...]
    try:
        with client, client.stream("POST", url, content=b"asked") as response:
            came = (
                response.status_code,
                sorted(response.headers.items()),
                str(response.url),
                b"".join(response.iter_raw()),
            )
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        came = (type(error).__name__,)
    [request] = sent
    return *came, str(request.url), sorted(request.headers.items()), request.extensions


@pytest.mark.parametrize("url", ["http://name.example/a?b=c d#e", "https://user:word@name.example"])
@pytest.mark.parametrize("code", [200, 204, 301, 302, 303, 307, 308, 401, 500])
@pytest.mark.parametrize("location", [None, *REDIRECTS])
def test_a_call_is_what_it_is_with_httpx(url: str, code: int, location: str | None) -> None:
    """What is left out was of no effect: one request goes out, and its answer is the same, or the same error."""
    headers = {} if location is None else {"location": location}
    assert came_of(_PlainClient, url, headers, code) == came_of(httpx.Client, url, headers, code)


def test_a_client_that_is_closed_sends_nothing() -> None:
    """As httpx has it."""
    client = create_client(connections=1)
    client.close()
    with pytest.raises(RuntimeError, match="closed"):
        client.get("http://127.0.0.1:1/")
