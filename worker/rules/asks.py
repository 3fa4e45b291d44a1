"""Pure: what a message can ask of a job that is there, and by which names it does.

A request asks for a new job; all else that a sender may ask is here.
"""

from collections.abc import Mapping
from enum import StrEnum


class Ask(StrEnum):
    """What is asked of a job; the value is the routing key of the message."""

    STATUS = "status"  # How does it stand? Its current event is announced anew.
    CANCEL = "cancel"  # Give it up.
    RETRY = "retry"  # Make a job in its place.


ASK_TASKS: Mapping[str, Ask] = {f"sam3d.{ask}": ask for ask in Ask}
"""What each Celery task asks."""

ASK_TYPES: Mapping[str, Ask] = {f"sam3d.reconstruction.{ask}.requested": ask for ask in Ask}
"""What a CloudEvent of each type asks."""


def asked_by_key(key: str) -> Ask | None:
    """Return what a message of this routing key asks; None: it is a request for a new job."""
    return next((ask for ask in Ask if ask == key), None)


def asked_by_task(task: object) -> Ask | None:
    """Return what a task of this name asks, which a sender may have written as anything."""
    return next((ask for name, ask in ASK_TASKS.items() if name == task), None)
