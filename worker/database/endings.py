"""A walk through the jobs in the order of their ends, that remembers how far it came."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, Text, cast, func, literal, select
from sqlalchemy.dialects.postgresql import insert as upsert

from worker.database.records import walks
from worker.database.tables import TIME, jobs, now

PAGE = 500
"""Jobs that are looked at together; of those that ended at the same moment, all are."""

LATEST = timedelta(minutes=1)
"""What is committed may have ended so much before what was committed earlier: no transaction lasts longer."""


@dataclass(frozen=True)
class Page:
    """The jobs that ended after one moment, and not after another; both as text, as the first may be ``-infinity``."""

    after: str
    until: str
    is_last: bool

    @property
    def its(self) -> Sequence[ColumnElement[bool]]:
        """Tell which jobs are on it."""
        return jobs.c.finished_at > _time(self.after), jobs.c.finished_at <= _time(self.until)


@dataclass(frozen=True)
class Walk:
    """Goes through those that ended at least ``age`` ago."""

    name: str
    age: timedelta

    def page(self, connection: Connection, before: Page | None = None) -> Page:
        """Find the next jobs, after those of the page before, else after where the walk was left.

        The youngest are found in each walk, as others may be committed among them.
        """
        after = before.until if before else self._reached(connection)
        ends = select(jobs.c.finished_at).where(jobs.c.finished_at > _time(after), jobs.c.finished_at <= now - self.age)
        page = ends.order_by(jobs.c.finished_at).limit(PAGE).subquery()
        seen = select(cast(func.max(page.c.finished_at), Text), func.count() < PAGE).select_from(page)
        until, is_last = connection.execute(seen).one()
        return Page(after, until or after, is_last)

    def _reached(self, connection: Connection) -> str:
        reached = select(cast(walks.c.reached, TIME)).where(walks.c.name == self.name).scalar_subquery()
        begin = func.least(func.coalesce(reached, _time("-infinity")), self._settled())
        return connection.execute(select(cast(begin, Text))).scalar_one()

    def reach(self, connection: Connection, page: Page) -> None:
        """Remember that a page is done with."""
        reached = cast(func.least(_time(page.until), self._settled()), Text)
        row = upsert(walks).values(name=self.name, reached=reached)
        changed = row.on_conflict_do_update(
            index_elements=[walks.c.name],
            set_={"reached": row.excluded.reached},
            where=walks.c.reached != row.excluded.reached,
        )
        connection.execute(changed)

    def _settled(self) -> ColumnElement[datetime]:
        return now - self.age - LATEST


def _time(text: str) -> ColumnElement[datetime]:
    return cast(literal(text, Text), TIME)
