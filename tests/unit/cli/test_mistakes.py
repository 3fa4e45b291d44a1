"""A mistake has an exit code that a script can branch on."""

import pytest

from worker.cli.mistakes import EXIT_CODES
from worker.errors import ConfigurationError, InvalidMessage, Sam3dError, WaitTimeout


@pytest.mark.parametrize(
    ("error", "code"),
    [(Sam3dError("x"), 1), (InvalidMessage("image", "x"), 2), (ConfigurationError("x"), 3), (WaitTimeout("x"), 4)],
)
def test_exit_codes(error: Exception, code: int) -> None:
    """What a script can branch on: the first class that fits decides."""
    assert next(code for kind, code in EXIT_CODES if isinstance(error, kind)) == code
