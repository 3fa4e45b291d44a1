"""The file server: a file to whoever has its link, whole or in part, within bounds; to everybody else nothing."""

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import psutil
import psycopg
import pytest
from pydantic import SecretStr
from sqlalchemy import text
from structlog.testing import capture_logs

from tests.documents import OPERATIONS, part_of
from tests.support.file_serving import THREADS, Served, serving
from tests.support.services.postgres import PrivatePostgres
from tests.support.waiting import wait_until
from worker.database.engine import transaction
from worker.database.schema import require_schema
from worker.outputs.file_server import Patience

CONTENT = bytes(range(256)) * 4096 + b"the end"
"""Of several chunks, and a bit."""

NOTHING = b"404 NOT FOUND\n"


@pytest.fixture
def served(migrated_url: str) -> Iterator[Served]:
    """Provide a file server whose files PostgreSQL has."""
    with serving(migrated_url, Patience(ending=5)) as running:
        yield running


@pytest.fixture
def link(served: Served) -> str:
    """Provide a link to a model."""
    return served.link(served.make_output(CONTENT))


def test_a_link_gives_the_file(served: Served, link: str) -> None:
    """With all that a consumer, or its cache, asks."""
    answer = httpx.get(link)
    row_tag = urlsplit(link).path.split("/")[2]
    assert (answer.status_code, answer.content) == (200, CONTENT)
    told = answer.headers
    assert told["etag"] == f'"{row_tag}"'
    assert told["content-type"] == "model/gltf-binary"
    assert told["content-length"] == str(len(CONTENT))
    assert told["content-disposition"] == 'attachment; filename="model.glb"'
    assert (told["accept-ranges"], told["cache-control"]) == ("bytes", "private")
    assert told["x-content-type-options"] == "nosniff"
    assert "server" not in told


def test_head_tells_the_same_without_the_file(link: str) -> None:
    """Its size above all."""
    head, whole = httpx.head(link), httpx.get(link)
    assert (head.status_code, head.content) == (200, b"")
    for name in ("etag", "content-type", "content-length", "accept-ranges"):
        assert head.headers[name] == whole.headers[name]


@pytest.mark.parametrize("content", [b"", b"x"])
def test_the_smallest_files_are_files(served: Served, content: bytes) -> None:
    """One without a byte as well."""
    answer = httpx.get(served.link(served.make_output(content, "file.bin")))
    assert (answer.status_code, answer.content, answer.headers["content-length"]) == (200, content, str(len(content)))


SIZE = len(CONTENT)
PARTS = {
    "bytes=0-0": (0, 1),
    "bytes=0-": (0, SIZE),
    "bytes=5-9": (5, 10),
    "bytes=262143-262144": (262143, 262145),
    "bytes=1000000-": (1000000, SIZE),
    f"bytes={SIZE - 1}-": (SIZE - 1, SIZE),
    "bytes=-7": (SIZE - 7, SIZE),
    "bytes=-99999999": (0, SIZE),
    "bytes=7-99999999": (7, SIZE),
}


@pytest.mark.parametrize(("asked", "part"), PARTS.items(), ids=PARTS)
def test_a_part_can_be_asked_for(link: str, asked: str, part: tuple[int, int]) -> None:
    """From anywhere, to anywhere, or the last of it."""
    start, end = part
    answer = httpx.get(link, headers={"range": asked})
    assert (answer.status_code, answer.content) == (206, CONTENT[start:end])
    assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{SIZE}"
    assert answer.headers["content-length"] == str(end - start)


@pytest.mark.parametrize("asked", [f"bytes={SIZE}-", "bytes=99999999-", "bytes=-0"])
def test_a_part_that_is_not_there_is_told(link: str, asked: str) -> None:
    """With the size that there is."""
    answer = httpx.get(link, headers={"range": asked})
    assert (answer.status_code, answer.headers["content-range"]) == (416, f"bytes */{SIZE}")
    assert answer.content == b"416 REQUESTED RANGE NOT SATISFIABLE\n"


@pytest.mark.parametrize(
    "asked",
    ["bytes=0-1,3-4", "bytes=" + ",".join(["0-"] * 500), "items=0-1", "bytes=5", "bytes=a-b", "bytes=", "x",
     "bytes=9-5x", "bytes=" + "9" * 400 + "-"],
)  # fmt: skip
def test_what_is_no_single_part_gives_the_file(link: str, asked: str) -> None:
    """Many parts, another unit, or no range at all: none of them makes more work than the file is."""
    answer = httpx.get(link, headers={"range": asked})
    assert (answer.status_code, answer.content == CONTENT) == (200, True)


def test_a_part_is_of_the_file_that_was_meant(link: str) -> None:
    """If-Range: who has the beginning of another gets the whole file."""
    tag = httpx.head(link).headers["etag"]
    for said, status, size in ((tag, 206, 10), ('"another"', 200, SIZE), (f"W/{tag}", 200, SIZE)):
        answer = httpx.get(link, headers={"range": "bytes=10-19", "if-range": said})
        assert (answer.status_code, len(answer.content)) == (status, size)


def test_who_has_the_file_is_told_so(link: str) -> None:
    """If-None-Match, with a range beside it or not."""
    tag = httpx.head(link).headers["etag"]
    for said, status in ((tag, 304), (f'"x", {tag}', 304), ("*", 304), ('"x"', 200)):
        for more in ({}, {"range": "bytes=0-5"}):
            answer = httpx.get(link, headers={"if-none-match": said, **more})
            assert (answer.status_code, len(answer.content)) == (status, 0 if status == 304 else SIZE)
    assert httpx.get(link, headers={"if-match": '"x"'}).status_code == 412


def nothing(url: str) -> bool:
    """Tell whether a URL gives just what any other does that leads nowhere."""
    answer = httpx.get(url)
    told = {name: value for name, value in answer.headers.items() if name != "date"}
    return (answer.status_code, answer.content) == (404, NOTHING) and told == {
        "content-type": "text/plain; charset=utf-8",
        "content-length": str(len(NOTHING)),
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
    }


def test_a_link_that_is_not_good_gives_nothing(served: Served) -> None:
    """Expired, of a foreign key, changed, or to what is gone: no answer tells one from another."""
    row = served.make_output(CONTENT)
    good = served.link(row)
    assert httpx.head(good).status_code == 200
    assert nothing(good.replace("expires=1", "expires=2"))
    assert nothing(good[:-1] + ("0" if good[-1] != "0" else "1"))
    assert nothing(served.link(row, SAM3D_LINK_KEY=SecretStr("f" * 32)))
    assert nothing(served.link({**row, "id": row["id"] + 1}))
    assert nothing(served.link({**row, "sha256": "0" * 64}))
    assert nothing(served.link({**row, "name": "other.glb"}))
    short = served.link(row, SAM3D_LINK_LIFETIME=1)
    wait_until(lambda: httpx.head(short).status_code == 404, "it has expired", 10)
    assert nothing(short)
    with transaction(served.engine) as connection:
        connection.execute(text("DELETE FROM outputs"))
    assert nothing(good)


@pytest.mark.parametrize(
    "path",
    ["/", "/files", "/files/", "/files/../../etc/passwd", "/files/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd", "/livez",
     "/robots.txt", "/files/" + "0" * 64 + "/model.glb", "/%00", "/" + "a" * 4000, "/files/%ff%fe"],
)  # fmt: skip
def test_no_other_path_has_anything(served: Served, path: str) -> None:
    """No list, no file of the machine."""
    for query in ("", "?output=1&expires=9999999999&key=00000000&signature=" + "0" * 64):
        assert nothing(served.url + path + query)


def test_a_proxy_may_have_us_below_a_path(migrated_url: str) -> None:
    """It leaves that path there or takes it away."""
    with serving(migrated_url, path="/models") as served:
        link = served.link(served.make_output(CONTENT))
        assert "/models/files/" in link
        assert httpx.get(link).status_code == 200
        assert httpx.get(link.replace("/models/", "/")).status_code == 200
        assert nothing(link.replace("/models/", "/models/models/"))


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_nothing_can_be_done_but_read(link: str, method: str) -> None:
    """With a good link, and without."""
    for url in (link, link[:-1]):
        answer = httpx.request(method, url)
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


def test_an_output_of_the_last_release_is_given(served: Served) -> None:
    """Its bytes are in chunks of its own, and its row names no place."""
    row = served.make_output(b"")
    with transaction(served.engine) as connection:
        connection.execute(text("UPDATE outputs SET location = NULL, bytes = :size"), {"size": SIZE})
        for position, start in enumerate(range(0, SIZE, 262144)):
            connection.execute(
                text("INSERT INTO output_chunks VALUES (:id, :position, :content)"),
                {"id": row["id"], "position": position, "content": CONTENT[start : start + 262144]},
            )
    link = served.link({**row, "location": None})
    assert httpx.get(link).content == CONTENT
    assert httpx.get(link, headers={"range": "bytes=300000-"}).content == CONTENT[300000:]


def test_a_role_that_only_reads_is_enough(migrated_url: str, postgres: PrivatePostgres) -> None:
    """The one that an operator is told to make."""
    role = f"reader_{uuid4().hex[:8]}"
    code = part_of(OPERATIONS, "reading").removeprefix("```sql\n").removesuffix("```").replace("sam3d_files", role)
    with psycopg.connect(migrated_url.replace("+psycopg", ""), autocommit=True) as connection:
        for each in code.splitlines():
            connection.execute(each.encode())
        with serving(migrated_url) as owner, serving(migrated_url.replace("postgres@", f"{role}@")) as served:
            link = served.link(owner.make_output(CONTENT))
            require_schema(served.engine)
            assert httpx.get(link).content == CONTENT
        connection.execute(f"DROP OWNED BY {role}".encode())
        connection.execute(f"DROP ROLE {role}".encode())


def test_files_in_a_folder_are_given(migrated_url: str, tmp_path: Path) -> None:
    """No object store signs for them."""
    with serving(migrated_url, SAM3D_STORE_URL=f"file://{tmp_path}/models") as served:
        link = served.link(served.make_output(CONTENT))
        assert httpx.get(link, headers={"range": "bytes=300000-"}).content == CONTENT[300000:]


def talk(served: Served, said: bytes) -> socket.socket:
    """Say something to the server over a connection with little room."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(20)
    connection.connect(("127.0.0.1", served.server.port))
    connection.sendall(said)
    return connection


def asking(link: str) -> bytes:
    """Return the request for a link."""
    parts = urlsplit(link)
    return f"GET {parts.path}?{parts.query} HTTP/1.1\r\nhost: here\r\n\r\n".encode()


def transactions(served: Served) -> int:
    """Count those that are open in the database, but for this question's own."""
    with transaction(served.engine) as connection:
        open_ones = "state <> 'idle' AND pid <> pg_backend_pid() AND datname = current_database()"
        return int(connection.execute(text(f"SELECT count(*) FROM pg_stat_activity WHERE {open_ones}")).scalar_one())


LARGE = os.urandom(2**20) * 60


def test_a_slow_reader_takes_neither_memory_nor_a_transaction(served: Served) -> None:
    """Of 60 MB no more is read than a reader takes."""
    link = served.link(served.make_output(LARGE))
    assert httpx.get(link).content == LARGE
    before = psutil.Process().memory_info().rss
    with talk(served, asking(link)) as slow:
        assert slow.recv(1000).startswith(b"HTTP/1.1 200 OK\r\n")
        wait_until(lambda: transactions(served) == 0, "it waits for its reader")
        assert psutil.Process().memory_info().rss - before < 20e6
        assert httpx.head(link).status_code == 200, "others are answered"


def is_closed(connection: socket.socket, said: bytes = b"") -> bool:
    """Say or hear a little; tell whether the other end is gone."""
    try:
        return not (connection.send(said) if said else connection.recv(100))
    except OSError:
        return True


def test_who_takes_nothing_any_more_is_hung_up_on(migrated_url: str) -> None:
    """He has a thread that others wait for; and they are not hung up on for waiting."""
    with serving(migrated_url, Patience(silent=2)) as served, ExitStack() as ends:
        link = served.link(served.make_output(LARGE))
        for _ in range(THREADS):
            ends.enter_context(talk(served, asking(link)))
        wait_until(lambda: len(served.server._server.active_channels) == THREADS, "each thread has one")
        assert httpx.get(link, timeout=60).content == LARGE


def test_who_does_not_say_what_he_wants_is_hung_up_on(migrated_url: str) -> None:
    """He has a place that others wait for."""
    patience = Patience(idle=1, asking=1)
    with serving(migrated_url, patience) as served, talk(served, b"") as idle, talk(served, b"GET /files/") as asks:
        assert (idle.recv(1), asks.recv(1)) == (b"", b"")


def test_who_drips_his_request_is_hung_up_on(migrated_url: str) -> None:
    """A byte now and then is no sign of life."""
    with serving(migrated_url, Patience(asking=1)) as served, talk(served, b"GET /") as drips:
        wait_until(lambda: is_closed(drips, b"a"), "it is over")


def test_who_drips_his_answer_is_hung_up_on(migrated_url: str) -> None:
    """Who reads a little now and then does not read for ever."""
    with serving(migrated_url, Patience(answering=2)) as served:
        link = served.link(served.make_output(LARGE))
        with talk(served, asking(link)) as drips:
            assert drips.recv(100)
            assert served.server._server.active_channels
            wait_until(lambda: not (drips.recv(100) and served.server._server.active_channels), "it is over")


@pytest.mark.parametrize(
    "said",
    [b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nx: " + b"a" * 9000 + b"\r\n\r\n",
     b"GET / HTTP/1.1\r\ncontent-length: 9999999\r\n\r\n" + b"a" * 2000, b"\x00\xff\r\n\r\n"],
)  # fmt: skip
def test_too_much_is_refused(served: Served, link: str, said: bytes) -> None:
    """A long line, long headers, a body, and what is no HTTP."""
    with talk(served, said) as connection:
        assert connection.recv(100).split(b" ")[1] in {b"400", b"413", b"431", b"404"}
    assert httpx.head(link).status_code == 200


def test_a_file_that_ends_too_early_breaks_the_connection(served: Served) -> None:
    """No reader takes what there is for the whole."""
    row = served.make_output(CONTENT)
    with transaction(served.engine) as connection:
        connection.execute(text("DELETE FROM blob_chunks WHERE position >= 4"))
    with capture_logs() as logged, pytest.raises(httpx.RemoteProtocolError):
        httpx.get(served.link(row))
    assert [each["output_id"] for each in logged if each["event"] == "file_cut"] == [row["id"]]


def test_a_file_without_bytes_is_nothing(served: Served) -> None:
    """Its row is there."""
    row = served.make_output(CONTENT)
    with transaction(served.engine) as connection:
        connection.execute(text("DELETE FROM blob_chunks"))
    assert nothing(served.link(row))


def test_a_store_that_is_away_is_asked_again_later(migrated_url: str, tmp_path: Path) -> None:
    """The link is good; it says when to come back, and nothing of the store."""
    with serving(migrated_url, SAM3D_STORE_URL=f"file://{tmp_path}/models") as served:
        link = served.link(served.make_output(CONTENT))
        for each in (tmp_path / "models").rglob("*"):
            if each.is_file():
                each.unlink()
        with capture_logs() as logged:
            answer = httpx.get(link)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "10")
    assert answer.content == b"503 SERVICE UNAVAILABLE\n"
    assert [each["event"] for each in logged if each["log_level"] == "warning"] == ["file_unreadable"]


def test_what_was_asked_is_logged_without_what_opens_it(served: Served, link: str) -> None:
    """Good or bad: the query is in no line."""
    with capture_logs() as logged:
        for url in (link, link[:-1], f"{served.url}/{uuid4()}?secret=m4rk3r"):
            httpx.get(url)
        wait_until(lambda: len(logged) == 3, "each is logged")
    assert sorted(each["http_status"] for each in logged) == [200, 404, 404]
    assert {each["event"] for each in logged} == {"file_asked"}
    for secret in ("signature", "m4rk3r", "expires"):
        assert secret not in repr(logged)


def test_what_was_begun_ends_when_the_server_does(migrated_url: str) -> None:
    """Nobody new is let in meanwhile, who idles is not waited for."""
    with serving(migrated_url, Patience(ending=20)) as served:
        link = served.link(served.make_output(LARGE))
        with talk(served, b""), httpx.stream("GET", link) as answer:
            chunks = answer.iter_raw(65536)
            content = next(chunks)
            served.server.stop()
            wait_until(lambda: refused(served), "nobody is let in", 10)
            assert served.thread.is_alive()
            content += b"".join(chunks)
        assert content == LARGE
        served.thread.join(10)
        assert not served.thread.is_alive(), "well before its time"


def test_who_does_not_end_is_not_waited_for_for_ever(migrated_url: str) -> None:
    """The pod has its time too."""
    with serving(migrated_url, Patience(ending=1)) as served:
        link = served.link(served.make_output(LARGE))
        with talk(served, asking(link)) as slow:
            slow.recv(10)
            served.server.stop()
            served.thread.join(15)
            assert not served.thread.is_alive()


def refused(served: Served) -> bool:
    """Tell whether no connection is taken."""
    try:
        with socket.create_connection(("127.0.0.1", served.server.port), timeout=2):
            return False
    except OSError:
        return True
