"""What was made is got by whoever hears the event, in any language, with neither our code nor our database."""

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from kombu import Connection

from tests.support.deployment import IMAGE, Service, deployed, start_all
from tests.support.listener import Listener
from tests.support.receipt_keys import make_key, public_of
from tests.support.services.bucket import new_bucket, running_s3
from tests.support.services.ports import free_ports
from tests.support.services.zygote import Zygote
from tests.support.waiting import wait_until
from worker.client import Client
from worker.rules.lifecycle import EventType
from worker.simulator import Simulator

NODE = shutil.which("node")
KEY, FOREIGN = "0123456789abcdef" * 2, "f" * 32
needs_node = pytest.mark.skipif(NODE is None, reason="Node is not installed; the consumer is written in it")


@pytest.fixture(params=["file server", "object store"])
def kind(request: pytest.FixtureRequest) -> str:
    """Name each kind of link."""
    return str(request.param)


@pytest.fixture
def linked_by(kind: str) -> Iterator[dict[str, str]]:
    """Provide the settings of a service with such links."""
    if kind == "object store":
        with running_s3() as environment:
            yield {**environment, "SAM3D_STORE_URL": new_bucket(environment), "SAM3D_LINK_LIFETIME": "600"}
        return
    port = str(free_ports(1)[0])
    yield {
        "SAM3D_PUBLIC_URL": f"http://127.0.0.1:{port}",
        "SAM3D_FILES_PORT": port,
        "SAM3D_LINK_KEY": KEY,
        "SAM3D_LINK_LIFETIME": "600",
    }


@pytest.fixture
def service(
    vhost_url: str,
    migrated_url: str,
    simulator: Simulator,
    zygote: Zygote,
    tmp_path: Path,
    linked_by: dict[str, str],
) -> Iterator[Service]:
    """Provide a worker, a scheduler and, where links lead there, the file server."""
    with deployed(vhost_url, migrated_url, simulator, tmp_path, zygote, **linked_by) as prepared:
        if "SAM3D_PUBLIC_URL" in linked_by:
            prepared.start("files", "files")
            wait_until(lambda: "files_started" in prepared.log_of("files"), "the file server listens")
        start_all(prepared)
        yield prepared


def succeeded(service: Service, listener: Listener) -> dict[str, Any]:
    """Have a model made, and return what its event says."""
    job_id = str(uuid4())
    request(service, job_id)
    return listener.wait_for(job_id, EventType.SUCCEEDED)


def request(service: Service, job_id: str) -> None:
    """Send a request."""
    with Connection(service.environment["SAM3D_BROKER_URL"]) as connection, connection.Producer() as producer:
        body = json.dumps({"image": IMAGE, "job_id": job_id, "include_artifacts": True}).encode()
        producer.publish(body, exchange="sam3d.inbox", routing_key="reconstruct", content_type="application/json")


def downloaded(outputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give an event to the consumer, and return what it got."""
    command = [str(NODE), "tests/acceptance/download.mjs"]
    event = json.dumps({"outputs": outputs})
    done = subprocess.run(command, input=event, capture_output=True, text=True, timeout=60, check=True)
    return list(json.loads(done.stdout))


@needs_node
def test_a_consumer_in_another_language_gets_the_files(service: Service, listener: Listener) -> None:
    """By the links of the event, until they expire; a link that is changed gives nothing."""
    outputs = succeeded(service, listener)["outputs"]
    assert [each["name"] for each in outputs] == ["model.glb", "artifacts.zip"]
    for each in outputs:
        left = datetime.fromisoformat(each["expires_at"]) - datetime.now(UTC)
        assert timedelta(minutes=8) < left <= timedelta(minutes=10)
    assert downloaded(outputs) == [
        {"status": 200, "isWhole": True, "mediaType": each["media_type"], "bytes": each["bytes"]} for each in outputs
    ]


@needs_node
@pytest.mark.parametrize("kind", ["file server"], indirect=True)
def test_no_other_link_gives_anything(service: Service, listener: Listener) -> None:
    """One that is changed, expired, or of a foreign key."""
    data = succeeded(service, listener)
    [model, _] = data["outputs"]
    last = "0" if model["url"][-1] != "0" else "1"
    changed = {**model, "url": model["url"][:-1] + last}
    later = {**model, "url": model["url"].replace("expires=1", "expires=2")}
    foreign = {**model, "url": link(service, data["job_id"], SAM3D_LINK_KEY=FOREIGN)}
    expired = {**model, "url": link(service, data["job_id"], SAM3D_LINK_LIFETIME="1")}
    time.sleep(1.1)  # A link is as long good as it says, by every clock.
    got = downloaded([changed, later, foreign, expired])
    assert [(each["status"], each["isWhole"], each["bytes"]) for each in got] == [(404, False, 14)] * 4


def link(service: Service, job_id: str, **environment: str) -> str:
    """Make a link by the command line."""
    assert service.zygote
    done = service.zygote.run("link", job_id, "--name", "model.glb", "--json", **service.environment | environment)
    [made] = json.loads(done.stdout)
    return str(made["url"])


def test_an_event_that_is_told_again_has_a_fresh_link(service: Service, listener: Listener) -> None:
    """The same request once more; no link is kept anywhere but in the event."""
    first = succeeded(service, listener)
    time.sleep(1.1)  # So that the time of a fresh one is another.
    heard = len(listener.events)
    request(service, first["job_id"])
    wait_until(lambda: told_again(listener, heard), "it is told again")
    [again] = [each["data"] for each in listener.events[heard:] if each["type"] == EventType.SUCCEEDED]
    for before, after in zip(first["outputs"], again["outputs"], strict=True):
        assert after["expires_at"] > before["expires_at"]
        assert httpx.get(after["url"]).content == httpx.get(before["url"]).content
    kept = service.run("job", first["job_id"], "--json").stdout
    logged = "".join(path.read_text() for path in service.logs.glob("*.log"))
    for text in (kept, logged):
        assert "http://127.0.0.1" not in text or "ignature" not in text


def told_again(listener: Listener, heard: int) -> bool:
    """Tell whether a success was heard since."""
    listener._drain()
    return any(each["type"] == EventType.SUCCEEDED for each in listener.events[heard:])


def test_the_client_downloads_without_the_database(service: Service, tmp_path: Path) -> None:
    """By the links of the event that it heard."""
    nowhere = service.settings.having(
        SAM3D_DATABASE_URL="postgresql+psycopg://127.0.0.1:1/nowhere", SAM3D_STORE_URL=None
    )
    with Client(nowhere) as client:
        job_id = client.submit(Path("worker/photos/cat.png"))
        assert client.wait(job_id).has_succeeded
        [model] = client.status(job_id).content["outputs"]
        assert len(httpx.get(model["url"]).content) == model["bytes"], "an answer has a link of its own"
        [path] = client.download(job_id, tmp_path / "out")
    assert path.read_bytes().startswith(b"glTF")


def test_a_receipt_comes_by_the_same_ways(deployment: Service, linked_by: dict[str, str], tmp_path: Path) -> None:
    """By its link, beside the model; whoever has both finds that they belong together."""
    key = make_key()
    deployment.environment |= {**linked_by, "SAM3D_RECEIPT_KEY": key}
    if "SAM3D_PUBLIC_URL" in linked_by:
        deployment.start("files", "files")
    start_all(deployment)
    nowhere = {"SAM3D_DATABASE_URL": "postgresql+psycopg://127.0.0.1:1/nowhere", "SAM3D_STORE_URL": None}
    with Client(deployment.settings.having(**nowhere)) as client:
        job_id = client.submit(Path("worker/photos/cat.png"))
        told = client.wait(job_id).content["receipt"]
        paths = client.download(job_id, tmp_path / "out")
    assert [path.name for path in paths] == ["model.glb", "receipt.json"]
    assert httpx.get(told["url"]).content == paths[1].read_bytes()
    (tmp_path / "public.pem").write_text(public_of(key))
    checked = deployment.run("receipt", job_id, "--verify", str(paths[1]), "--key", str(tmp_path / "public.pem"))
    assert "model.glb  as the receipt says" in checked.stdout


def test_the_command_makes_links(service: Service, listener: Listener) -> None:
    """For whoever has the database, and wants to give a file to somebody who has not."""
    data = succeeded(service, listener)
    lines = service.run("link", data["job_id"]).stdout.splitlines()
    urls = [line for line in lines if line.startswith("http")]
    assert [len(httpx.get(url).content) for url in urls] == [each["bytes"] for each in data["outputs"]]
    unknown = service.run("link", data["job_id"], "--name", "other", check=False)
    assert unknown.returncode == 1
    assert "it has model.glb and artifacts.zip" in unknown.stderr


@pytest.mark.parametrize("kind", ["file server"], indirect=True)
def test_the_file_server_is_a_process_like_the_others(deployment: Service, linked_by: dict[str, str]) -> None:
    """It is probed, needs no broker, ends at SIGTERM, and says what is missing to start it."""
    alone = {"SAM3D_BROKER_URL": "amqp://127.0.0.1:1//", "SAM3D_HEALTH_PORT": str(free_ports(1)[0])}
    process = deployment.start("files", "files", **linked_by | alone)
    probes = f"http://127.0.0.1:{alone['SAM3D_HEALTH_PORT']}"
    wait_until(lambda: "files_started" in deployment.log_of("files"), "it listens")
    assert [httpx.get(f"{probes}/{each}").status_code for each in ("livez", "readyz")] == [200, 200]
    assert httpx.get(f"{probes}/readyz").json()["checks"] == {"database": "ok", "schema": "ok"}
    assert httpx.get(linked_by["SAM3D_PUBLIC_URL"]).status_code == 404
    process.terminate()
    assert process.wait(20) == 0
    assert "files_stopped" in deployment.log_of("files")
    unset = deployment.run("files", check=False)
    assert (unset.returncode, "SAM3D_LINK_KEY" in unset.stderr) == (3, True)
