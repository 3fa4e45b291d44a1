"""Run the simulator: in a thread beside a test or a demo, or in the foreground until a signal."""

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable, Coroutine
from datetime import timedelta
from types import TracebackType
from typing import Any, Self, TypeVar

from aiohttp import web

from .faults import FaultRule
from .server import build, new_world
from .settings import SimulatorSettings
from .world import World

LOCALHOST = "127.0.0.1"
START_SECONDS = 30.0
_BACKLOG = 1024

Answer = TypeVar("Answer")


class Simulator:
    """The simulated vendor on a port of this machine, in a thread with an event loop of its own.

    A context manager; everything may be called from any thread while it runs.
    """

    def __init__(self, settings: SimulatorSettings | None = None, *, port: int = 0) -> None:
        self._settings = settings or SimulatorSettings()
        self._port = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="simulator", daemon=True)
        self._world = new_world(self._settings)
        self._runner: web.AppRunner | None = None
        self.url = ""

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            self._runner, self.url = self._wait(_listen(self._world, LOCALHOST, self._port))
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._runner is not None:
                self._wait(self._runner.cleanup())
        finally:
            self._stop()

    def ledger(self) -> list[dict[str, Any]]:
        """Return every accepted run and what it cost."""
        return self._ask(self._world.ledger)

    def requests(self, *, with_log: bool = False) -> dict[str, Any]:
        """Return how many calls got which answer, by call; on demand with the log of all calls in order."""
        return self._ask(lambda: self._world.requests(with_log=with_log))

    def add_fault(self, **rule: Any) -> int:
        """Add a fault rule, given by its fields, and return its number.

        Raises:
            ValidationError: the rule makes no sense.
        """
        checked = FaultRule.model_validate(rule)
        return self._ask(lambda: self._world.faults.add(checked))

    def drop_fault(self, number: int) -> None:
        """Drop one fault rule by its number."""
        self._ask(lambda: self._world.faults.drop(number))

    def clear_faults(self) -> None:
        """Drop all fault rules."""
        self._ask(self._world.faults.clear)

    def update(self, **changes: Any) -> SimulatorSettings:
        """Change some settings and return all of them.

        Raises:
            ValidationError: a setting is unknown or out of range.
        """
        return self._ask(lambda: self._world.update(changes))

    def advance(self, step: timedelta) -> None:
        """Let time pass."""
        self._ask(lambda: self._world.clock.advance(step))

    def reset(self) -> None:
        """Forget everything but the time, and go back to the first settings."""
        self._ask(self._world.reset)

    def _ask(self, question: Callable[[], Answer]) -> Answer:
        """Look at the world from its own thread."""

        async def asked() -> Answer:
            return question()

        return self._wait(asked())

    def _wait(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        """Wait for something to be done on the loop's thread."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(START_SECONDS)

    def _stop(self) -> None:
        """End the loop and its thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(START_SECONDS)
        self._loop.close()


def serve(host: str, port: int, settings: SimulatorSettings, on_ready: Callable[[str], None]) -> None:
    """Run the simulator until SIGINT or SIGTERM; `on_ready` is called with its address once it listens.

    Raises:
        OSError: the port is taken.
    """
    asyncio.run(_serve(host, port, settings, on_ready))


async def _serve(host: str, port: int, settings: SimulatorSettings, on_ready: Callable[[str], None]) -> None:
    """Listen, and wait for a signal."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError, ValueError, RuntimeError):  # Not in the main thread.
            loop.add_signal_handler(number, stopped.set)
    runner, url = await _listen(new_world(settings), host, port)
    try:
        on_ready(url)
        await stopped.wait()
    finally:
        await runner.cleanup()


async def _listen(world: World, host: str, port: int) -> tuple[web.AppRunner, str]:
    """Open the port; return what closes it, and the address."""
    runner = web.AppRunner(build(world), access_log=None, handle_signals=False, shutdown_timeout=0.2)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, backlog=_BACKLOG).start()
    except OSError:
        await runner.cleanup()
        raise
    bound = runner.addresses[0][1]
    shown = f"[{host}]" if ":" in host else host
    return runner, f"http://{shown}:{bound}"
