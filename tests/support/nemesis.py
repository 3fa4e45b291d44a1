"""Breaks one thing after the other, chosen by a seed: processes, the broker, the database, the vendor."""

import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress

import psycopg
import structlog

from tests.support.bad_vendor import BadVendor, Producer
from tests.support.fleet import Fleet
from tests.support.services.postgres import PrivatePostgres
from tests.support.services.rabbitmq import PrivateRabbit
from tests.support.supervisor import ROLES
from tests.support.verdict import Database
from worker.simulator import Simulator

AN_HOUR = "1 hour"

log = structlog.get_logger(__name__)


class Nemesis:
    """Chooses faults by their weights; each is over, or will be healed, when its time has come."""

    def __init__(
        self,
        fleet: Fleet,
        rabbitmq: PrivateRabbit,
        postgres: PrivatePostgres,
        simulator: Simulator,
        producer: Producer,
        database: Database,
        vhost: str,
        chance: random.Random,
    ) -> None:
        vendor = BadVendor(simulator, producer, chance, self._heal_after)
        self.struck: Counter[str] = Counter()
        self.broker_lost: list[tuple[float, float]] = []  # When the broker forgot what it had, seconds since the epoch.
        self._fleet = fleet
        self._rabbitmq = rabbitmq
        self._postgres = postgres
        self._database = database
        self.vendor = vendor
        self._vhost = vhost
        self._chance = chance
        self._heals: list[tuple[float, Callable[[], object]]] = []
        self.cancelled: set[str] = set()  # Whose submit was under way then.
        self._faults: Mapping[Callable[[], str], float] = {
            self._kill: 14,
            self._freeze: 8,
            self._terminate: 6,
            self._restart_broker: 2,
            self._kill_broker: 2,
            self._freeze_broker: 4,
            self._alarm_broker: 2,
            self._close_connections: 6,
            self._purge_queue: 4,
            self._delete_queue: 4,
            self._delete_vhost: 1.5,
            self._restart_database: 4,
            self._freeze_database: 2,
            self._step_the_clock: 2,
            self._cancel_a_submit: 6,
            **vendor.faults,
        }

    def strike(self) -> None:
        """Do the next thing."""
        self._heal_what_is_due(time.monotonic())
        fault = self._chance.choices(list(self._faults), list(self._faults.values()))[0]
        name = fault()
        self.struck[name] += 1
        log.info("nemesis_struck", fault=name)

    def pause(self) -> None:
        """Let the service work for some seconds."""
        time.sleep(self._chance.uniform(1.0, 5.0))

    def heal(self) -> None:
        """Undo everything."""
        self._postgres.heal()
        self._heal_what_is_due(float("inf"))
        self._rabbitmq.heal()
        self._rabbitmq.clear_alarms()
        self.vendor.heal()

    def _heal_what_is_due(self, now: float) -> None:
        due = [heal for at, heal in self._heals if at <= now]
        self._heals = [each for each in self._heals if each[0] > now]
        for heal in due:
            heal()

    def _heal_after(self, shortest: float, longest: float, heal: Callable[[], object]) -> None:
        self._heals.append((time.monotonic() + self._chance.uniform(shortest, longest), heal))

    def _signal(self, number: signal.Signals, names: list[str]) -> str:
        name = self._chance.choice(names)
        if name in self._fleet.processes:
            self._fleet.processes[name].send_signal(number)
        return f"{number.name} to a {name.partition('-')[0]}"

    def _kill(self) -> str:
        return self._signal(signal.SIGKILL, list(ROLES))

    def _freeze(self) -> str:
        return self._signal(signal.SIGSTOP, list(ROLES))

    def _terminate(self) -> str:
        return self._signal(signal.SIGTERM, list(ROLES))

    def _restart_broker(self) -> str:
        self._rabbitmq.restart()
        return "broker restarted"

    def _kill_broker(self) -> str:
        self._rabbitmq.settle()
        self._rabbitmq.kill()
        time.sleep(self._chance.uniform(0, 3))
        self._rabbitmq.start()
        return "broker killed"

    def _freeze_broker(self) -> str:
        self._rabbitmq.freeze()
        time.sleep(self._chance.uniform(1, 12))
        self._rabbitmq.thaw()
        return "broker frozen"

    def _alarm_broker(self) -> str:
        raise_alarm = self._chance.choice((self._rabbitmq.raise_memory_alarm, self._rabbitmq.raise_disk_alarm))
        raise_alarm()
        time.sleep(self._chance.uniform(1, 8))
        self._rabbitmq.clear_alarms()
        return "broker alarmed"

    def _close_connections(self) -> str:
        self._rabbitmq.close_connections()
        return "broker's connections closed"

    def _some_queue(self) -> str:
        names = [queue.name for queue in self._rabbitmq.queues(self._vhost) if queue.name.startswith("sam3d.")]
        return self._chance.choice(sorted(names) or ["sam3d.poll"])

    def _on_queue(self, call: str) -> None:
        resource = f'rabbit_misc:r(<<"{self._vhost}">>, queue, <<"{self._some_queue()}">>)'
        self._rabbitmq._call(f"catch begin {{ok, Q}} = rabbit_amqqueue:lookup({resource}), {call} end, true")

    def _purge_queue(self) -> str:
        self._on_queue("rabbit_amqqueue:purge(Q)")
        return "queue purged"

    def _delete_queue(self) -> str:
        self._on_queue('rabbit_amqqueue:delete(Q, false, false, <<"tests">>)')
        return "queue deleted"

    def _delete_vhost(self) -> str:
        began = time.time()
        self._rabbitmq.delete_vhost(self._vhost)
        time.sleep(self._chance.uniform(0, 3))
        self._rabbitmq.create_vhost(self._vhost)
        self.broker_lost.append((began - 2, time.time() + 1))
        return "virtual host deleted"

    def _restart_database(self) -> str:
        self._postgres.stop(immediate=True)
        time.sleep(self._chance.uniform(0, 3))
        self._postgres.start()
        return "database restarted"

    def _freeze_database(self) -> str:
        self._postgres.freeze()
        time.sleep(self._chance.uniform(1, 8))
        self._postgres.thaw()
        return "database frozen"

    def _step_the_clock(self) -> str:
        """Put the database's clock an hour ahead for some seconds."""
        try:
            self._database.step_clock(AN_HOUR)
        except psycopg.Error:
            return "clock not stepped"
        self._heal_after(2, 8, self._set_the_clock_right)
        return "clock an hour ahead"

    def _set_the_clock_right(self) -> None:
        """Put it back, as soon as the database answers."""
        ends_at = time.monotonic() + 120
        while time.monotonic() < ends_at:
            with suppress(psycopg.Error):
                return self._database.step_clock("0")
            time.sleep(0.2)
        raise TimeoutError("the database does not answer")

    def _cancel_a_submit(self) -> str:
        """Cancel the next job whose submit is under way, which takes a while, or is unanswered."""
        self.vendor.slow_a_submit()
        ends_at = time.monotonic() + 3
        while time.monotonic() < ends_at:
            with suppress(psycopg.Error):
                for row in self._database.rows("SELECT id::text FROM jobs WHERE state = 'submitting' LIMIT 1"):
                    self.cancelled.add(row["id"])
                    self._fleet.start(f"cancel-{row['id']}", "cancel", row["id"])
                    return "cancelled in its submit"
            time.sleep(0.1)
        return "nothing to cancel"
