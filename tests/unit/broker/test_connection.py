"""Which broker is verified, or on this machine."""

import pytest

from worker.broker.connection import why_unverified


@pytest.mark.parametrize(
    ("url", "is_well"),
    [
        ("amqp://rabbit.invalid", False),
        ("amqp://10.0.0.1//;amqp://127.0.0.1//", False),
        ("amqp://localhost.evil.example", False),
        ("amqps://rabbit.invalid", True),
        ("amqp://localhost:1", True),
        ("amqp://[::1]", True),
        ("amqp://", True),
    ],
)
def test_a_broker_is_verified_or_on_this_machine(url: str, is_well: bool) -> None:
    """Where it is neither, the sentence names the setting and the fix."""
    said = why_unverified(url)
    assert (said is None) is is_well
    assert is_well or "SAM3D_BROKER_URL with amqps://" in str(said)
