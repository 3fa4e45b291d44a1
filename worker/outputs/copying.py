"""A job's files as the database and its store have them, on a disk: for who has both."""

from collections.abc import Sequence
from pathlib import Path

from worker.config.environment import Settings
from worker.database import files
from worker.database.engine import DatabaseError, create_database_engine, refusal, transaction
from worker.errors import Sam3dError
from worker.outputs.saving import write_file
from worker.outputs.stores import Stores


def copy_files(settings: Settings, job_id: str, folder: Path) -> Sequence[Path]:
    """Write a job's outputs into a folder and return their paths.

    Raises:
        ConfigurationError: the database can't be asked.
        Sam3dError: the job has no outputs, or what was read is not what was stored.
    """
    engine = create_database_engine(settings.database.url, 1)
    try:
        with transaction(engine) as connection:
            made = files.of_job(connection, job_id)
        if not made:
            raise Sam3dError(f"Job {job_id} has no outputs; see `sam3d job {job_id}`.")
        folder.mkdir(parents=True, exist_ok=True)
        stores = Stores(settings.storage, engine)
        return [write_file(stores.read(file), file, folder) for file in made]
    except DatabaseError as error:
        raise refusal(error) from None
    finally:
        engine.dispose()
