"""Where a job's files can be got without our database: ``link``."""

from typing import Any

from worker.cli.look import describe_job, job_uuid
from worker.cli.opened import opened_database
from worker.cli.output import chosen_outputs
from worker.cli.show import print_json, print_values, say
from worker.database.engine import transaction
from worker.errors import ConfigurationError, Sam3dError
from worker.outputs.links import Links
from worker.outputs.stores import Stores
from worker.telemetry.errors_alone import log_errors_alone


def link(job_id: str, name: str | None, *, as_json: bool) -> None:
    """Make fresh links to a job's files, or to the one of a name."""
    log_errors_alone()
    wanted = job_uuid(job_id)
    with opened_database() as (settings, engine):
        with transaction(engine) as connection:
            shown = describe_job(connection, wanted)
        chosen = chosen_outputs(shown, name)
        links = Links(settings.links, Stores(settings.storage, engine))
        if not links.are_made:
            raise ConfigurationError(
                "There are no links: set SAM3D_PUBLIC_URL and SAM3D_LINK_KEY and run `sam3d files`, or keep files in "
                "an object store."
            )
        made = [{**each, **_linked(links, each)} for each in chosen]
    print_json(made) if as_json else _show(made)
    if not all(each["url"] for each in made):
        raise Sam3dError("Not each file has a link: its store can't sign one now, and no file server is set up.")


def _linked(links: Links, output: Any) -> dict[str, Any]:
    made = links.to(output)
    return {"url": made and made.url, "expires_at": made and made.expires_at}


def _show(made: list[dict[str, Any]]) -> None:
    """Print each address on a line of its own, to be copied as it is."""
    for each in made:
        print_values({"name": each["name"], "expires at": each["expires_at"]})
        say(each["url"] or "-")
