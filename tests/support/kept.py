"""A post that keeps the messages of the steps, for tests that deliver them by hand."""

from collections.abc import Callable
from dataclasses import replace

from worker.rules.lifecycle import FollowUp
from worker.work.post import Post
from worker.work.services import Services


class KeptPost(Post):
    """Announces as the post that it takes the place of; the messages are somebody else's."""

    def __init__(self, post: Post, keep: Callable[[FollowUp], object]) -> None:
        self.__dict__.update(post.__dict__)
        self._keep = keep

    def send(self, follow_up: FollowUp | None) -> bool:
        """Keep a message."""
        if follow_up:
            self._keep(follow_up)
        return True


def keeping(services: Services, keep: Callable[[FollowUp], object]) -> Services:
    """Return services that keep what they send."""
    kept = KeptPost(services.post, keep)
    return replace(services, open_post=lambda: kept)
