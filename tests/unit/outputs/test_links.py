"""A link is the store's where it signs, else ours, else none; whatever is wrong with a store stops nobody."""

from datetime import UTC, datetime
from typing import cast

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from worker.config.access import LinkSettings
from worker.config.environment import Settings
from worker.errors import StoreUnavailable
from worker.outputs.links import Links
from worker.outputs.stores import Stores

NOW = datetime(2026, 1, 1, 12, 0, 0, 250_000, UTC)
OUTPUT = {"id": 7, "name": "model.glb", "sha256": "ab" * 32, "location": "objects:output/sha256/ab/ab"}
OURS = Settings().having(
    SAM3D_PUBLIC_URL="https://files.example/models/", SAM3D_LINK_KEY=SecretStr("k" * 32), SAM3D_LINK_LIFETIME=60
)


class Signing:
    """Stores whose answer the test has."""

    has_objects = True

    def __init__(self, answer: str | None = None, error: Exception | None = None) -> None:
        self.answer, self.error, self.asked = answer, error, 0

    def link(self, *_: object) -> str | None:
        """Answer."""
        self.asked += 1
        if self.error:
            raise self.error
        return self.answer


def links(settings: LinkSettings, stores: Signing) -> Links:
    """Return links at a time that stands still."""
    return Links(settings, cast("Stores", stores), lambda: NOW)


def test_the_store_signs_first() -> None:
    """Until a time that it keeps, though its clock may have gone on a little."""
    made = links(Settings().links, Signing("https://bucket.example/?signed")).to(OUTPUT)
    assert made
    assert made.url == "https://bucket.example/?signed"
    assert made.expires_at == datetime(2026, 1, 2, 12, 0, 0, tzinfo=UTC)


def test_what_no_store_signs_is_got_from_our_server() -> None:
    """Below the address that others reach it by, until the time that the link says."""
    made = links(OURS.links, Signing()).to(OUTPUT)
    assert made
    assert made.url.startswith(f"https://files.example/models/files/{'ab' * 32}/model.glb?output=7&")
    assert f"&expires={int(made.expires_at.timestamp())}&" in made.url
    assert made.expires_at == datetime(2026, 1, 1, 12, 1, 0, tzinfo=UTC)


def test_without_either_there_is_no_link() -> None:
    """Nobody set one up."""
    assert links(Settings().links, Signing()).to(OUTPUT) is None


@pytest.mark.parametrize("has_server", [True, False])
def test_a_store_that_cannot_sign_stops_nothing(has_server: bool) -> None:
    """Our server has the file, or there is no link; it is said once, and the store left in peace for a while."""
    stores = Signing(error=StoreUnavailable("The file was not given a link."))
    makes = links(OURS.links if has_server else Settings().links, stores)
    with capture_logs() as logged:
        made = [makes.to(OUTPUT) for _ in range(500)]
    assert [bool(each) for each in made] == [has_server] * 500
    [line] = logged
    assert (line["event"], line["log_level"], stores.asked) == ("link_unsigned", "warning", 1)
    assert line["next"]


def test_a_name_that_is_none_of_ours_has_no_link() -> None:
    """It could not stand in one."""
    assert links(OURS.links, Signing()).to({**OUTPUT, "name": "../model.glb"}) is None
