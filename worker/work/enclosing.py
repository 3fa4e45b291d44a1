"""Enclose: the photos that go with a submit, those in the object store as addresses made for it, or as their bytes.

What is sent is written down before its first byte: by its address a run is known again, whatever else is equal.
"""

from dataclasses import replace

from worker.database import submissions
from worker.database.engine import DatabaseError, describe, transaction
from worker.database.submissions import Digest
from worker.errors import ConfigurationError, NotSent, StoreUnavailable
from worker.rules.job import Body, InputFile, Job
from worker.rules.presigned import address_of, lifetime, mark_of_address, mark_of_place
from worker.vendor.history import digest_inputs, mark_inputs
from worker.work.services import Services

TRIES = 8
"""Addresses that are made until one is no other submit's: of one photo and second there are 3600."""


def enclose(services: Services, job: Job) -> Job:
    """Return a job whose files are ready to be sent and are noted with its intent, or that says why they are not.

    Safe to do twice because an address that nothing was sent with costs nothing.
    """
    if not job.is_addressed:
        return job
    try:
        return _enclosed(services, job)
    except (StoreUnavailable, NotSent) as error:
        return replace(job, obstacle=error)
    except ConfigurationError as error:
        return replace(job, obstacle=NotSent(str(error)))
    except DatabaseError as error:
        return replace(job, obstacle=NotSent(f"What is to be sent was not written down ({describe(error)})."))


def _enclosed(services: Services, job: Job) -> Job:
    for number in range(TRIES):
        ready = replace(job, files=[_with_file(services, job, file, number) for file in job.files])
        with transaction(services.engine) as connection:
            if submissions.enclose(connection, ready, digest_of(ready)):
                return ready
    raise NotSent("Too many photos of the same content are sent at once.")


def _with_file(services: Services, job: Job, file: InputFile, number: int) -> InputFile:
    """Return a file with its address, which is good for longer than the vendor knows a run, or with its bytes."""
    if file.location is None:
        return file
    if services.settings.storage.sends_addresses:
        url = services.stores.address(file.location, lifetime(job.token or "", number))
        return replace(file, url=url, place=mark_of_place(url))
    content = b"".join(services.stores.read({"location": file.location}))
    if len(content) != file.size:
        raise StoreUnavailable(f"`{file.name}` came back from its store in part.")
    return replace(file, content=content, location=None)


def digest_of(job: Body) -> Digest:
    """Return the marks of a job's inputs as they are sent, an address of ours by where it leads."""
    addressed = {file.name: file for file in job.files if file.location is not None}
    sent = {name: value for name, value in job.inputs.items() if name not in addressed}
    places = {name: file.place or "" for name, file in addressed.items()}
    urls = {name: mark_of_address(file.url) for name, file in addressed.items() if file.url}
    return Digest(digest_inputs({**sent, **places}), {**mark_inputs(sent), **places}, address_of(urls))
