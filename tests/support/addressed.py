"""A service whose photos are in an S3 and are sent as addresses there."""

from collections.abc import Iterator, Mapping
from typing import Any
from uuid import uuid4

import boto3  # type: ignore[import-untyped]
import pytest

from tests.support.in_process import settings_of
from tests.support.services.bucket import new_bucket, running_s3
from worker.app import App, create_app
from worker.simulator import Simulator


@pytest.fixture(scope="module")
def s3() -> Iterator[Mapping[str, str]]:
    """Run an S3 for all tests of a file."""
    with running_s3() as environment:
        yield environment


@pytest.fixture
def bucket(s3: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> str:
    """Provide a bucket of the S3 that this process knows how to reach."""
    for name, value in s3.items():
        monkeypatch.setenv(name, value)
    return new_bucket(s3)


@pytest.fixture
def app(migrated_url: str, simulator: Simulator, bucket: str) -> Iterator[App]:
    """Provide an app that sends addresses; nothing runs but what the test calls."""
    settings = settings_of(f"memory://{uuid4().hex}", migrated_url, simulator)
    built = create_app(settings.having(SAM3D_STORE_URL=bucket, SAM3D_INPUT_ADDRESSES="on"))
    yield built
    built.close()


def objects_in(s3: Mapping[str, str], bucket: str) -> dict[str, bytes]:
    """Return what is in a bucket, by its key."""
    client: Any = boto3.client(
        "s3",
        endpoint_url=s3["AWS_ENDPOINT_URL"],
        region_name=s3["AWS_REGION"],
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    name = bucket.removeprefix("s3://").partition("/")[0]
    keys = [each["Key"] for each in client.list_objects_v2(Bucket=name).get("Contents", [])]
    return {key: client.get_object(Bucket=name, Key=key)["Body"].read() for key in keys}
