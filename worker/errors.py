"""The error tree: two branches, because there are two reactions, and the seven cases that are neither.

::

    Sam3dError
    ├── ConfigurationError      a setting, the schema or a service is wrong: say the fix and exit
    ├── InvalidMessage          what came in is wrong: the sender must act
    ├── TransientError          come back later
    │   ├── RemoteUnavailable       no usable answer to a read
    │   │   └── StoreUnavailable        our own store of files can't be asked, or refuses
    │   ├── RemoteRateLimited       429; knows when the window opens again
    │   ├── NotSent                 nothing left this machine
    │   ├── RemoteRequestGone       the vendor does not know the request, which ends no job before its hour is over
    │   ├── OutputMissing           the run is over, and no output of it is named yet
    │   │   └── OutputInvalid           it has files, none of which is a sound model
    │   └── OutputBroken            what arrived of an output is no whole file
    ├── PermanentError          the job fails, an event goes out
    │   ├── RemoteRefused           the vendor refused this job's parameters; nothing was paid
    │   ├── RemoteJobFailed         the run ended FAILED; nothing was charged
    │   └── OutputUnusable          the run was paid, its output can't be kept
    ├── AccountHeld             credits, key or limit: nothing is wrong with the job, or that is not certain yet
    ├── SubmitUnknown           a run may have been started: never repeat it blindly
    ├── HistoryMissing          the vendor's request history does not answer as known
    ├── RetryRefused            no job can take the place of another; the message says what to do instead
    └── WaitTimeout             a job had no outcome in the time given

Every message is a sentence without a key, an image, a prompt or a URL: it is stored, logged and announced.
"""

from datetime import datetime
from enum import StrEnum


class Sam3dError(Exception):
    """Everything this package raises on purpose.

    What came of an answer of the vendor's has its ``http_status``, and in ``said`` its own words, which may quote
    anything: they are shown only as ``quoting`` leaves them.
    """

    http_status: int | None = None
    said: str | None = None


class ConfigurationError(Sam3dError):
    """A setting, the schema or a service is not as it must be; the message says the fix."""


class InvalidMessage(Sam3dError):
    """What came in is not a request; ``field`` is the part to change, ``code`` is stable."""

    def __init__(self, field: str, message: str, code: str = "invalid_request") -> None:
        super().__init__(message)
        self.field = field
        self.code = code


class TransientError(Sam3dError):
    """Come back later; nothing is wrong with the job."""

    code = "remote_unavailable"


class RemoteUnavailable(TransientError):
    """A read had no usable answer: a network error, a 5xx, a body that can't be read; ``http_status`` if one came."""

    def __init__(self, message: str, http_status: int | None = None) -> None:
        super().__init__(message)
        self.http_status = http_status


class StoreUnavailable(RemoteUnavailable):
    """Our own store of files can't be asked, refuses, or does not have what it should; no file is given up for it."""

    code = "store_unavailable"


class RemoteRateLimited(TransientError):
    """HTTP 429. ``reset_at`` is when the vendor's window opens again, if it said so."""

    code = "remote_rate_limited"

    def __init__(self, message: str, reset_at: datetime | None) -> None:
        super().__init__(message)
        self.reset_at = reset_at


class NotSent(TransientError):
    """No byte of the request left this machine, so no run was started."""

    code = "not_sent"


class RemoteRequestGone(TransientError):
    """The vendor answers 404 to a request id: its record lives for one hour.

    ``answered_at`` is the date of that answer by the vendor's clock, ``is_listed`` whether its history has the run.
    """

    code = "remote_gone"

    def __init__(self, message: str, answered_at: datetime | None = None, *, is_listed: bool = False) -> None:
        super().__init__(message)
        self.answered_at = answered_at
        self.is_listed = is_listed


class OutputMissing(TransientError):
    """The run completed, but neither its result nor the history names what it made; otherwise as the one above."""

    code = "output_unusable"

    def __init__(self, message: str, answered_at: datetime | None = None, *, is_listed: bool = False) -> None:
        super().__init__(message)
        self.answered_at = answered_at
        self.is_listed = is_listed


class OutputInvalid(OutputMissing):
    """The run completed and has files, and none of them is a sound model."""

    code = "output_invalid"


class OutputBroken(TransientError):
    """What arrived of an output is no whole file; the message is the evidence."""

    code = "output_unusable"


class PermanentError(Sam3dError):
    """The job fails with ``code``, and an event says so."""

    code = "failed"


class RemoteRefused(PermanentError):
    """The vendor refused the parameters of this job; nothing was paid."""

    code = "remote_refused"


class RemoteJobFailed(PermanentError):
    """The vendor's run ended as FAILED; nothing was charged."""

    code = "remote_failed"


class OutputUnusable(PermanentError):
    """The run completed, but what it left can't be kept: the evidence is in the message."""

    code = "output_unusable"


class HoldCause(StrEnum):
    """Why an account is stopped."""

    CREDITS = "credits"
    KEY = "key"
    FORBIDDEN = "forbidden"
    LIMIT = "limit"
    MODEL = "model"
    PROTOCOL = "protocol"
    OUTAGE = "outage"
    OPERATOR = "operator"
    RESTORED = "restored"


class AccountHeld(Sam3dError):
    """The vendor refuses the account, not the job: all its jobs wait, none uses up an attempt.

    Where that is not certain it may be this one job that is refused.
    """

    def __init__(self, cause: HoldCause, message: str, *, is_certain: bool = True) -> None:
        super().__init__(message)
        self.cause = cause
        self.is_certain = is_certain


class SubmitUnknown(Sam3dError):
    """Whether the POST started a paid run is not known. ``http_status`` is what came, if anything did."""

    code = "submit_unknown"

    def __init__(self, message: str, http_status: int | None = None) -> None:
        super().__init__(message)
        self.http_status = http_status


class HistoryMissing(Sam3dError):
    """The account host does not answer as known: what it can't tell is for a person."""


class RetryRefused(Sam3dError):
    """A job can't be retried; the message says why and what to do instead."""


class WaitTimeout(Sam3dError):
    """The job had no outcome in the time given; it goes on, and can be waited for again."""
