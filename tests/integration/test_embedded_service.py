"""The embedded service has this process to itself."""

import pytest

from worker import embedded
from worker.config.environment import Settings
from worker.errors import ConfigurationError


def test_a_second_embedded_service_of_a_process_is_refused() -> None:
    """It would get the first one's messages: the in-memory broker is one for the process, whatever its URL."""
    with embedded.embedded_settings(is_live=False) as settings, embedded.running_service(settings):
        second = embedded.running_service(settings)
        with pytest.raises(ConfigurationError, match="runs in this process already"):
            second.__enter__()


def test_the_next_embedded_service_of_a_process_starts() -> None:
    """One that could not start is no service that runs."""
    broken = Settings().having(SAM3D_DATABASE_URL="postgresql+psycopg://nobody@127.0.0.1:1/none")
    for _ in range(2):
        with pytest.raises(Exception, match=r"127\.0\.0\.1"), embedded.running_service(broken):
            pass
