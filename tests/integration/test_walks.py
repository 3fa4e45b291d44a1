"""The files that a job enters are those that the page of the code's ways lists."""

from tests.documents import ARCHITECTURE, part_of
from tests.walks import measured, written
from worker.app import App
from worker.simulator import Simulator


def test_the_walks_are_as_listed(app: App, simulator: Simulator) -> None:
    """Of a whole job, of a lost answer and of a 429, file by file; renew them with ``make docs``."""
    walked = written(measured(app, simulator))
    assert {name: part_of(ARCHITECTURE, name) for name in walked} == walked
