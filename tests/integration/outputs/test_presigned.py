"""A presigned link: another implementation makes the same signature of it, and of anything else another one.

Moto's S3, which the other tests have, checks no signature.
"""

from datetime import UTC, datetime, timedelta
from unittest.mock import patch
from urllib.parse import parse_qs, urlsplit, urlunsplit

import pytest
from botocore.auth import S3SigV4QueryAuth  # type: ignore[import-untyped]
from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]
from botocore.credentials import Credentials  # type: ignore[import-untyped]

from worker.database.engine import create_database_engine
from worker.outputs.object_store import ObjectStore

ACCOUNT = {
    "AWS_ENDPOINT_URL": "http://127.0.0.1:4599",
    "AWS_ALLOW_HTTP": "true",
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_REGION": "eu-central-1",
}
FILE = "output/sha256/ab/" + "a" * 62
ANOTHER = FILE.replace("/ab/", "/cd/")


@pytest.fixture
def link(monkeypatch: pytest.MonkeyPatch) -> str:
    """Provide a link to a file that is good for five minutes; nothing is asked to sign it."""
    for name, value in ACCOUNT.items():
        monkeypatch.setenv(name, value)
    store = ObjectStore("s3://models/here", create_database_engine("postgresql+psycopg://nowhere", 1))
    made = store.link(f"s3:{FILE}", timedelta(minutes=5))
    assert made
    return made


def is_accepted(url: str, secret: str = "secret") -> bool:
    """Tell whether a link has the signature that belongs to all else of it."""
    parts = urlsplit(url)
    said = {name: values[0] for name, values in parse_qs(parts.query).items()}
    signed_at = datetime.strptime(said["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    request = AWSRequest("GET", urlunsplit((parts.scheme, parts.netloc, parts.path, "", "")))
    account, expires = Credentials("key", secret), int(said["X-Amz-Expires"])
    with patch("botocore.auth.get_current_datetime", return_value=signed_at):
        S3SigV4QueryAuth(account, "s3", ACCOUNT["AWS_REGION"], expires=expires).add_auth(request)
    return parse_qs(urlsplit(request.url).query)["X-Amz-Signature"] == [said["X-Amz-Signature"]]


def test_it_is_accepted_as_it_was_made(link: str) -> None:
    """By whoever has the same secret."""
    assert FILE in link
    assert is_accepted(link)


@pytest.mark.parametrize(
    ("said", "instead"),
    [("Expires=300", "Expires=90000"), (FILE, ANOTHER), ("127.0.0.1", "localhost"), ("/here/", "/there/")],
    ids=["for longer", "another file", "another host", "another folder"],
)
def test_whatever_is_changed_of_it_is_refused(link: str, said: str, instead: str) -> None:
    """The signature is of all that the link says."""
    changed = link.replace(said, instead)
    assert changed != link
    assert not is_accepted(changed)


def test_a_foreign_one_is_refused(link: str) -> None:
    """One that another secret has signed."""
    assert not is_accepted(link, "another")
