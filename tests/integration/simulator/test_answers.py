"""Every answer that is not the happy one: refusals, limits, expiry."""

import base64
from datetime import timedelta
from typing import Any

import httpx
import pytest

from worker.simulator import Simulator

SUBMIT = "/v2/sam-3d-objects"


def submit(http: httpx.Client, **inputs: Any) -> httpx.Response:
    """Submit a run."""
    return http.post(SUBMIT, json=inputs)


@pytest.mark.parametrize("path", ["/v2/requests/{id}/status", "/v2/requests/{id}", "/v1/requests/{id}"])
def test_records_expire_after_an_hour(simulator: Simulator, http: httpx.Client, submitted: str, path: str) -> None:
    """All three read calls answer 404 an hour after the submission."""
    simulator.advance(timedelta(minutes=59))
    assert http.get(path.format(id=submitted)).json()["status"] == "COMPLETED"
    simulator.advance(timedelta(minutes=1))
    answer = http.get(path.format(id=submitted))
    assert (answer.status_code, list(answer.json())) == (404, ["error"])


def test_output_outlives_its_record_by_days(simulator: Simulator, http: httpx.Client, submitted: str) -> None:
    """The file is public and lives for seven days."""
    simulator.advance(timedelta(seconds=10))
    url = http.get(f"/v2/requests/{submitted}").json()["output"]
    assert httpx.get(url).status_code == 200
    simulator.advance(timedelta(days=6))
    assert httpx.get(url).status_code == 200
    assert httpx.get(url.replace("model.glb", "artifacts.zip")).status_code == 404
    simulator.advance(timedelta(days=1))
    assert httpx.get(url).status_code == 404


def test_metrics_are_empty_until_the_end(http: httpx.Client, submitted: str) -> None:
    """A status says no more than it should."""
    body = http.get(f"/v2/requests/{submitted}/status").json()
    assert body.keys() == {"status", "request_id", "status_url", "response_url", "metrics"}
    assert body["metrics"] == {}


def test_failure_is_served_with_422(simulator: Simulator, http: httpx.Client, photo: str) -> None:
    """Status and result of a failed run have the same body, with the error, under 422."""
    simulator.update(fail_share=1.0)
    run = submit(http, image=photo).json()["request_id"]
    simulator.advance(timedelta(seconds=10))
    bodies = [http.get(f"/v2/requests/{run}{end}") for end in ("", "/status")]
    assert {answer.status_code for answer in bodies} == {422}
    assert bodies[0].json() == bodies[1].json()
    assert bodies[0].json()["error"]
    assert "cost" not in bodies[0].json()["metrics"]


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"model_forbidden": True}, (403, "access")),
        ({"model_retired": True}, (410, "retired")),
        (
            {"team_limit_period": "monthly", "team_limit_cap": 20},
            (406, "Team monthly spend limit reached. Cap: 20.00"),
        ),
        ({"credits": 0.01}, (402, "Insufficient credits. You have 0.01 credits.")),
        ({"credits": 0}, (402, "Insufficient credits. You have 0.0 credits.")),
        (
            {"credits": 0.01, "credits_status": 406},
            (406, "Insufficient credits. Available balance: 0.0100, required: 0.0600"),
        ),
    ],
)
def test_account_refusals(
    simulator: Simulator, http: httpx.Client, photo: str, changes: dict[str, Any], refusal: tuple[int, str]
) -> None:
    """What stops the account stops submits, with its own status and message, and starts nothing."""
    simulator.update(**changes)
    answer = submit(http, image=photo)
    assert answer.status_code == refusal[0]
    assert refusal[1] in answer.json()["error"]
    assert simulator.ledger() == []


@pytest.mark.parametrize("key", ["", "nonsense", "SG_ffffffffffffffff"])
def test_bad_keys(simulator: Simulator, photo: str, key: str) -> None:
    """A missing, malformed or revoked key gets the authentication layer's body on every call."""
    simulator.update(revoked_keys=["SG_ffffffffffffffff"])
    with httpx.Client(base_url=simulator.url, headers={"x-api-key": key}) as http:
        answers = [submit(http, image=photo), http.get("/v2/requests/x"), http.get("/v1/get-user-credits")]
    for answer in answers:
        assert answer.status_code == 401
        assert answer.json().keys() == {"error", "error_description", "status_code"}


@pytest.mark.parametrize("headers", [{}, {"content-type": "text/plain"}])
def test_content_type(http: httpx.Client, headers: dict[str, str]) -> None:
    """Anything but application/json is answered with 406."""
    answer = http.post(SUBMIT, content=b"{}", headers=headers)
    assert (answer.status_code, answer.json()) == (406, {"error": "Invalid content type"})


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", SUBMIT),
        ("POST", "/v2/requests/x"),
        ("POST", "/v1/get-user-credits"),
        ("DELETE", "/v1/requests/x"),
    ],
)
def test_wrong_verb_is_html(http: httpx.Client, method: str, path: str) -> None:
    """A 405 comes from the framework, as HTML."""
    answer = http.request(method, path)
    assert answer.status_code == 405
    assert answer.headers["content-type"].startswith("text/html")


@pytest.mark.parametrize(
    "image",
    [
        "/home/me/photo.png",
        "not base64!",
        base64.b64encode(b"no image").decode(),
        "https://example.com/photo.png",
        "http://169.254.169.254/photo.png",
        "http://127.0.0.1:9/photo.png",
    ],
)
def test_unusable_images(simulator: Simulator, http: httpx.Client, image: str) -> None:
    """What is no image, or elsewhere, is a 400 and starts nothing."""
    answer = submit(http, image=image)
    assert answer.status_code == 400
    assert "image" in answer.json()["error"]
    assert simulator.ledger() == []


def test_broken_json(http: httpx.Client) -> None:
    """A body that is no JSON is a 400."""
    answer = http.post(SUBMIT, content=b"{", headers={"content-type": "application/json"})
    assert answer.status_code == 400


def test_image_by_local_url_and_data_uri(simulator: Simulator, http: httpx.Client, submitted: str, photo: str) -> None:
    """An image may be a URL on this machine, or a data URI."""
    assert submit(http, image=f"data:image/png;base64,{photo}").status_code == 200
    simulator.advance(timedelta(seconds=10))
    glb = http.get(f"/v2/requests/{submitted}").json()["output"]
    assert submit(http, image=glb).status_code == 400  # Found, but no image.


def test_rate_limit(simulator: Simulator, http: httpx.Client, photo: str) -> None:
    """The request beyond the limit gets 429 with the reset header; polls count unless told otherwise."""
    simulator.update(requests_per_minute=2)
    simulator.advance(timedelta(minutes=1))
    simulator.update(requests_per_minute=2)
    answers = [http.get("/v1/get-user-credits") for _ in range(3)]
    limited = answers[2]
    assert limited.status_code == 429
    assert "retry-after" not in limited.headers
    assert limited.headers["x-rate-limit-reset-at-utc"].endswith("Z")
    simulator.update(polls_counted=False)
    assert http.get("/v1/get-user-credits").status_code == 200
    assert submit(http, image=photo).status_code == 429
    simulator.advance(timedelta(minutes=1))
    assert submit(http, image=photo).status_code == 200


@pytest.mark.parametrize(
    ("shape", "output"),
    [("url", str), ("list", list), ("object", dict)],
)
def test_output_shapes(simulator: Simulator, http: httpx.Client, photo: str, shape: str, output: type[Any]) -> None:
    """The output is a URL, a list or an object, and the artifacts are among it."""
    simulator.update(output_shape=shape, run_time=0)
    run = submit(http, image=photo, include_artifacts=True).json()["request_id"]
    body = http.get(f"/v2/requests/{run}").json()
    assert isinstance(body["output"], output)
    assert ("artifacts" in body) is (shape == "url")


def test_large_body(http: httpx.Client) -> None:
    """A body of 20 MB is read and answered."""
    answer = submit(http, image="A" * 20_000_000)
    assert (answer.status_code, "Invalid image" in answer.text) == (400, True)
