"""Which runs may be of what was sent: a person looks at them, so none is left out that may be."""

import pytest

from worker.rules.run import Inputs
from worker.vendor.lost import may_show

SENT = {"image": "long:1", "prompt": "text:2", "seed": "value:3"}


@pytest.mark.parametrize(
    ("shown", "may_be"),
    [
        (SENT, True),
        (None, True),
        ({**SENT, "image": "url:9"}, True),
        ({"prompt": "text:2", "seed": "value:3"}, True),
        ({**SENT, "prompt": "text:9"}, False),
        ({**SENT, "bounding_box": "text:4"}, False),
        ({"image": "long:1", "prompt": "text:2"}, False),
    ],
)
def test_a_row_may_show_pictures_otherwise(shown: Inputs | None, *, may_be: bool) -> None:
    """Nothing else."""
    assert may_show(shown, SENT) == may_be
