"""Whatever a sender sends: a request becomes a job, an ask about a job is answered."""

from datetime import timedelta

from worker.intake import accept, asking
from worker.intake.envelope import Envelope
from worker.rules.lifecycle import FollowUp
from worker.rules.origin import Origin
from worker.work.office import Office


def receive(office: Office, envelope: Envelope, origin: Origin, seen_for: timedelta) -> FollowUp | None:
    """Do what a message asks for and announce it; return the submit to send.

    ``seen_for`` is how long ago the message can have been seen first. Safe to run twice because what it leads to is.

    Raises:
        DatabaseError, TransientError: the message must come again.
    """
    if envelope.ask:
        return asking.answer(office, envelope.ask, envelope, origin)
    body_age = seen_for if envelope.is_of_body else None
    return accept.accept(office, envelope.fields, envelope.derived_id, body_age, origin)
