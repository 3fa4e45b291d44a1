"""A deployment in this process whose database is kept, and put back as it was."""

from collections.abc import Iterator

import pytest

from tests.support.services.postgres import PrivatePostgres
from tests.support.shop import MINUTE, RUN, Shop
from worker.app import App, create_app
from worker.simulator import Simulator
from worker.upkeep.compare import Comparison


class Restored:
    """A deployment whose database can be set back, with the processes that live on or others in their place."""

    def __init__(self, app: App, simulator: Simulator, postgres: PrivatePostgres) -> None:
        self._postgres = postgres
        self._simulator = simulator
        self._name = app.services.settings.database.url.rpartition("/")[2]
        self._others: list[App] = []
        self.shop = self._open(app)

    def _open(self, app: App) -> Shop:
        shop = Shop(app, self._simulator)
        shop.set(SAM3D_EXPECTED_RUN=RUN, SAM3D_SWEEP_INTERVAL=RUN, SAM3D_RECONCILE_SETTLE=MINUTE)
        shop._scheduler.duties._comparison = Comparison(app.services, lambda: shop.now.timestamp())  # noqa: PLW0108
        return shop

    def back_up(self) -> None:
        """Keep the database as it is now."""
        self._postgres.disconnect(self._name)
        self._postgres.create_database(f"{self._name}_kept", self._name)

    def set_back(self) -> None:
        """Put back what was kept, from a dump or otherwise, into a server that runs on."""
        self._postgres.drop_database(self._name)
        self._postgres.execute(f"ALTER DATABASE {self._name}_kept RENAME TO {self._name}")

    def restart(self) -> None:
        """Restart the server; all that it committed is there."""
        self._postgres.stop(immediate=True)
        self._postgres.start()

    def renew(self) -> None:
        """Put other processes in the place of all that run; the messages are the broker's."""
        before, settings = self.shop, self.shop.services.settings
        self._others.append(create_app(settings))
        self.shop = self._open(self._others[-1])
        self.shop.carry_on(before)

    def close(self) -> None:
        """Stop what was started."""
        self.shop.close()
        for each in self._others:
            each.close()
        self._postgres.drop_database(f"{self._name}_kept")


@pytest.fixture
def deployed(app: App, simulator: Simulator, postgres: PrivatePostgres) -> Iterator[Restored]:
    """Provide a deployment that has run for a while."""
    made = Restored(app, simulator, postgres)
    made.shop.live(MINUTE)
    yield made
    made.close()
