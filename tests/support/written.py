"""What a database writes to its log (WAL) between two moments, by table and index, as `pg_walinspect` reads it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import psycopg


@dataclass(frozen=True)
class Written:
    """Bytes by what they were written for; ``images``: full-page images, of pages that were new since a checkpoint."""

    bytes: int
    images: int
    parts: Sequence[tuple[str, str, int, int]]
    """Relation (empty: none, as with a commit), kind of record, how many, and their bytes without images."""

    def each(self, jobs: int, most: int = 80) -> str:
        """Print it for a person, divided by a number of jobs; the largest parts only."""
        lines = [
            f"{size / jobs:9.1f} {count / jobs:6.2f}  {name or '-'}: {kind}" for name, kind, count, size in self.parts
        ]
        whole = f"{self.bytes / jobs:.0f} bytes a job, and {self.images / jobs:.0f} of full-page images"
        return "\n".join([whole, "    bytes  count  what", *lines[:most]])

    def count(self, name: str, kind: str) -> int:
        """Return how many records of a kind there are of a relation."""
        return sum(count for each, what, count, _ in self.parts if (each, what) == (name, kind))


class Log:
    """The write-ahead log of a server, from now on; what is read is one database's, and what is no database's."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url.replace("+psycopg", ""), autocommit=True)
        self._connection.execute("CREATE EXTENSION IF NOT EXISTS pg_walinspect")
        self._begun_at = self._now()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def restart(self) -> None:
        """Count from now on."""
        self._begun_at = self._now()

    def written(self, *, but: str | None = None) -> Written:
        """Read what was written until now, but to one table."""
        read = self._connection.execute(_READ, {"begun": self._begun_at, "ended": self._now()})
        rows = [row for row in read if row[0] != but]
        parts = [(name, kind, count, int(size)) for name, kind, count, size, _ in rows]
        return Written(sum(size for *_, size in parts), sum(int(row[4]) for row in rows), parts)

    def _now(self) -> str:
        [position] = self._connection.execute("SELECT pg_current_wal_insert_lsn()::text").fetchone() or [""]
        return str(position)


# A record counts for the first page that it touches. The tables behind large values count for those they belong to.
_READ = """
WITH pages AS (
    SELECT DISTINCT ON (start_lsn) start_lsn, reldatabase, relfilenode
    FROM pg_get_wal_block_info(%(begun)s, %(ended)s, false) ORDER BY start_lsn, block_id
)
SELECT coalesce(owner.relname || ' (large)', owner_of_index.relname || ' (large)', relation.relname, '') AS name,
    resource_manager || ' ' || record_type AS kind, count(*),
    sum(record_length - fpi_length), sum(fpi_length)
FROM pg_get_wal_records_info(%(begun)s, %(ended)s)
LEFT JOIN pages USING (start_lsn)
LEFT JOIN pg_class AS relation ON pg_relation_filenode(relation.oid) = pages.relfilenode
LEFT JOIN pg_class AS owner ON owner.reltoastrelid = relation.oid
LEFT JOIN pg_index ON pg_index.indexrelid = relation.oid
LEFT JOIN pg_class AS owner_of_index ON owner_of_index.reltoastrelid = pg_index.indrelid
WHERE reldatabase IS NULL OR reldatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
GROUP BY 1, 2 ORDER BY 4 DESC
"""
