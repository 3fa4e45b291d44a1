"""A file server in this process, and outputs for it to give."""

import hashlib
import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

from pydantic import SecretStr
from sqlalchemy import text

from worker.config.environment import Settings
from worker.database import files
from worker.database.engine import Engine, create_database_engine, transaction
from worker.outputs.file_server import FileServer, Patience
from worker.outputs.links import Links
from worker.outputs.serving import Files
from worker.outputs.stores import Stores
from worker.rules.output_files import FetchedFile

LINK_KEY = "0123456789abcdef" * 2
THREADS = 3


def served_by(settings: Settings, url: str) -> Settings:
    """Return settings whose links lead to a server."""
    return settings.having(SAM3D_PUBLIC_URL=url, SAM3D_LINK_KEY=SecretStr(LINK_KEY))


class Served:
    """A file server, and the database and store that it reads."""

    def __init__(self, database_url: str, patience: Patience, path: str, **settings: object) -> None:
        self.engine: Engine = create_database_engine(database_url, THREADS + 2)
        own = served_by(Settings().having(**settings), f"http://127.0.0.1{path}")
        self.server = FileServer(Files(own.links, self.engine, Stores(own.storage, self.engine)), 0, THREADS, patience)
        self.url = f"http://127.0.0.1:{self.server.port}"
        self.settings = served_by(own, self.url + path)
        self.stores = Stores(self.settings.storage, self.engine)
        self.thread = threading.Thread(target=self.server.serve, args=(lambda: None,))

    def make_output(self, content: bytes, name: str = "model.glb", media_type: str = "model/gltf-binary") -> Any:
        """Store a file as the output of a job of its own, and return its row."""
        job_id, sha256 = str(uuid4()), hashlib.sha256(content).hexdigest()
        stored = self.stores.put(FetchedFile(name, media_type, len(content), sha256, io.BytesIO(content)))
        with transaction(self.engine) as connection:
            new = text("INSERT INTO jobs (id, state, fingerprint) VALUES (:id, 'succeeded', '')")
            connection.execute(new, {"id": job_id})
            files.add(connection, job_id, [stored])
            [row] = files.of_job(connection, job_id)
        return row

    def link(self, row: Any, **settings: object) -> str:
        """Make a link to an output, by other settings where they are given."""
        made = Links(self.settings.having(**settings).links, self.stores).to(row)
        assert made
        return made.url


@contextmanager
def serving(
    database_url: str, patience: Patience | None = None, path: str = "", **settings: object
) -> Iterator[Served]:
    """Run a file server."""
    served = Served(database_url, patience or Patience(), path, **settings)
    served.thread.start()
    try:
        yield served
    finally:
        served.server.stop()
        served.thread.join(30)
        served.engine.dispose()
