"""Look at one run: its status and its result, in one request where the vendor answers so, and where it is forgotten.

Whether ``GET /v2/requests/{id}`` also tells that a run goes on is learnt, account by account; that it does not counts
for a day.
"""

from dataclasses import dataclass, replace

from worker.errors import HistoryMissing, OutputMissing, RemoteRequestGone, RemoteUnavailable
from worker.rules.budget import Terms
from worker.rules.expiry import last_looks
from worker.rules.job import Job
from worker.rules.outcome import Lesson
from worker.rules.run import OVER, UNDER_WAY, Listed, RemoteStatus, RunResult, RunStatus
from worker.vendor.history import as_result
from worker.work.services import Services

TRIES_APART = 5
"""Of so many failed tries in a row one, the last, also asks the request history for the run."""

NO_OUTPUT = "The run completed, but its result names no output."


@dataclass(frozen=True)
class Sight:
    """What a look found, how many requests it took, and what it taught."""

    found: RunResult
    requests: int = 1
    lesson: Lesson | None = None


def look(services: Services, job: Job) -> Sight:
    """Look at a run: at its result where that tells as much as its status, or may do.

    After a look that failed the status is asked: whatever is wrong with results, they stand in nobody's way.
    """
    terms = services.outlook.terms()
    if job.attempts or not terms.looks_at_result(job.age):
        return _status_first(services, job, terms)
    found = _result_so_far(services, job)
    if found is None:
        return _status_after_all(services, job, terms)
    is_new = found.run.status in UNDER_WAY and terms.single_look is None
    return Sight(found, lesson=Lesson(single_look=True) if is_new else None)


def _status_first(services: Services, job: Job, terms: Terms) -> Sight:
    """Ask for the status, and where its word is one that nobody knows for the result: with an output it is over."""
    found = status(services, job)
    if found.run.status is not RemoteStatus.UNRECOGNISED:
        return Sight(found)
    return Sight(_result_so_far(services, job) or found, requests=2, lesson=_repeated(terms))


def _result_so_far(services: Services, job: Job) -> RunResult | None:
    """Return what the result says, or None where its answer does not tell how the run is.

    Raises:
        RemoteRateLimited, AccountHeld.
        RemoteUnavailable: nothing came, or another request's.
    """
    try:
        found = services.vendor.result(id_of(job))
    except RemoteRequestGone:
        return None
    except RemoteUnavailable as error:
        if error.http_status is None:
            raise
        return None
    return found if found.run.status in OVER | UNDER_WAY else None


def _status_after_all(services: Services, job: Job, terms: Terms) -> Sight:
    """Ask for the status: only if that says that the run goes on was it the result's fault."""
    found = status(services, job)
    is_off = found.run.status in UNDER_WAY
    return Sight(found, requests=2, lesson=_repeated(terms, single_look=False if is_off else None))


def _repeated(terms: Terms, *, single_look: bool | None = None) -> Lesson:
    """Say that a look took a second request, which has no slot of the budget yet."""
    return Lesson(single_look, is_repeated=True, slot=terms.slot if terms.reads_count is not False else None)


def status(services: Services, job: Job) -> RunResult:
    """Read the status of a run, from the request history where the vendor does not know it, or can't show it.

    Raises:
        RemoteRequestGone: it is not listed, or not as one that is over, or there is no history.
        RemoteRateLimited, RemoteUnavailable, AccountHeld.
    """
    try:
        return RunResult(_told(services, job, services.vendor.status(id_of(job))), ())
    except RemoteUnavailable as error:
        return _in_its_place(services, job, error)
    except RemoteRequestGone as gone:
        found = _rescued(services, job, gone)
        if found.run.status not in OVER:
            raise RemoteRequestGone(str(gone), gone.answered_at, is_listed=True) from gone
        return found


def _told(services: Services, job: Job, run: RunStatus) -> RunStatus:
    """Return a status that tells how the run is; one that never does, such as an error under 200, ends with the hour.

    Raises:
        RemoteRequestGone: the hour is over, and the vendor only has a word that nobody knows, or none.
    """
    lifetime = services.settings.run.record_lifetime
    if run.status is RemoteStatus.UNRECOGNISED and last_looks(job, run.answered_at, lifetime):
        raise RemoteRequestGone("The vendor does not say how the run is.", run.answered_at)
    return run


def _in_its_place(services: Services, job: Job, error: RemoteUnavailable) -> RunResult:
    """Find a run that can't be read in the request history, which is another host's: asked every few tries.

    Raises:
        RemoteUnavailable: it is not the time to ask, or the history does not list it as over.
    """
    if (job.attempts + 1) % TRIES_APART:
        raise error
    try:
        found = _rescued(services, job, RemoteRequestGone(str(error)))
    except (RemoteRequestGone, RemoteUnavailable):
        raise error from None
    if found.run.status is RemoteStatus.FAILED or (found.run.status is RemoteStatus.COMPLETED and found.addresses):
        return found
    raise error


@dataclass(frozen=True)
class Ended:
    """A run that is over; ``unnamed`` says of one that completed that no output of it is named, and since when."""

    found: RunResult
    unnamed: OutputMissing | None = None


def result(services: Services, job: Job) -> Ended:
    """Read the result, from the request history where it is not known, or names no output: the files live longer.

    So it is where the result can't be read, or says that the run is not over.

    Raises:
        RemoteRequestGone, RemoteRateLimited, RemoteUnavailable, AccountHeld.
    """
    is_listed = False
    try:
        found = _over(services.vendor.result(id_of(job)))
        answered_at = found.run.answered_at
    except RemoteUnavailable as error:
        return Ended(_in_its_place(services, job, error))
    except RemoteRequestGone as gone:
        found, answered_at, is_listed = _over(_rescued(services, job, gone)), gone.answered_at, True
    if found.run.status is not RemoteStatus.COMPLETED or found.addresses:
        return Ended(found)
    row = None if is_listed else _listed(services, job)
    if row and row.addresses:
        return Ended(replace(found, addresses=row.addresses))
    return Ended(found, OutputMissing(NO_OUTPUT, answered_at, is_listed=is_listed or row is not None))


def _over(found: RunResult) -> RunResult:
    """Return the result of a run that has ended, or raise what keeps it from being one.

    Raises:
        RemoteUnavailable: it says otherwise, though the status had said so.
    """
    if found.run.status not in OVER:
        raise RemoteUnavailable("The run is over, but its result is not there yet.")
    return found


def _rescued(services: Services, job: Job, gone: RemoteRequestGone) -> RunResult:
    """Find a run that the vendor does not know in its request history.

    Raises:
        RemoteRequestGone: it is not listed, or there is no history.
        RemoteUnavailable: the history does not answer now.
    """
    listed = _listed(services, job)
    if listed is None:
        raise gone
    return as_result(listed)


def _listed(services: Services, job: Job) -> Listed | None:
    """Look a run up in the request history, if there is one."""
    if services.settings.history.mode == "off":
        return None
    try:
        return services.vendor.listed(id_of(job), wants_all=True)  # A run makes more than it was asked for.
    except HistoryMissing:
        return None


def id_of(job: Job) -> str:
    """Return the request id of a job's run."""
    if job.request_id is None:
        raise AssertionError(f"a job in {job.state} has a request id; the database checks it")
    return job.request_id
