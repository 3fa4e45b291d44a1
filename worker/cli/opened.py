"""The app that a command works with: one that reads no queue, and logs errors alone."""

from worker.app import App, create_app
from worker.config import load_settings
from worker.observability import configure_logging


def open_app() -> App:
    """Build the app; nothing is connected yet."""
    settings = load_settings()
    configure_logging("ERROR")
    return create_app(settings, [])
