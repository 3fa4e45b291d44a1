"""The inspection API under `/_simulator/`: read the bill, change the settings, add faults, let time pass."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from aiohttp import web
from pydantic import TypeAdapter, ValidationError

from . import answers
from .faults import FaultRule
from .rows import foreign_row
from .world import World

Handler = Callable[[web.Request], Awaitable[web.Response]]

_RULES: TypeAdapter[list[FaultRule]] = TypeAdapter(list[FaultRule])


class Control:
    """Handlers of the inspection API."""

    def __init__(self, world: World) -> None:
        self._world = world

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Add the API to an application."""
        routes: list[tuple[str, str, Handler]] = [
            ("GET", "ledger", self._ledger),
            ("GET", "requests", self._requests),
            ("GET", "faults", self._list_faults),
            ("POST", "faults", self._add_faults),
            ("DELETE", "faults", self._clear_faults),
            ("GET", "settings", self._settings),
            ("POST", "settings", self._update),
            ("GET", "clock", self._time),
            ("POST", "clock", self._advance),
            ("POST", "history", self._add_history),
            ("POST", "reset", self._reset),
        ]
        for method, name, handler in routes:
            router.add_route(method, f"/_simulator/{name}", answering_bad_input(handler))

    async def _ledger(self, _: web.Request) -> web.Response:
        """Return the bill."""
        return web.json_response({"runs": self._world.ledger()})

    async def _requests(self, request: web.Request) -> web.Response:
        """Return the counts of calls; with `?log=1` every call too."""
        return web.json_response(self._world.requests(with_log=request.query.get("log") == "1"))

    async def _list_faults(self, _: web.Request) -> web.Response:
        """Return the rules in force."""
        return web.json_response({"faults": self._world.faults.listed()})

    async def _add_faults(self, request: web.Request) -> web.Response:
        """Add one rule, or a list of them."""
        given = await request.json()
        rules = _RULES.validate_python(given if isinstance(given, list) else [given])
        return web.json_response({"ids": [self._world.faults.add(rule) for rule in rules]})

    async def _clear_faults(self, _: web.Request) -> web.Response:
        """Drop all rules."""
        self._world.faults.clear()
        return web.json_response({"faults": []})

    async def _settings(self, _: web.Request) -> web.Response:
        """Return the settings in force."""
        return web.json_response(self._world.settings.model_dump(mode="json"))

    async def _update(self, request: web.Request) -> web.Response:
        """Change some settings."""
        return web.json_response(self._world.update(await _object(request)).model_dump(mode="json"))

    async def _time(self, _: web.Request) -> web.Response:
        """Return the simulator's time."""
        return web.json_response({"now": self._world.clock.now().isoformat()})

    async def _advance(self, request: web.Request) -> web.Response:
        """Let time pass."""
        seconds = (await _object(request)).get("advance_seconds")
        if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not abs(seconds) < 10**9:
            raise ValueError("advance_seconds must be a number of seconds")
        self._world.clock.advance(timedelta(seconds=seconds))
        return await self._time(request)

    async def _add_history(self, request: web.Request) -> web.Response:
        """Add rows that other members of the team made."""
        given = await request.json()
        rows = [foreign_row(row, self._world.clock.now()) for row in _rows(given)]
        self._world.foreign_rows.extend(rows)
        return web.json_response({"rows": len(rows)})

    async def _reset(self, _: web.Request) -> web.Response:
        """Forget everything."""
        self._world.reset()
        return web.json_response({"reset": True})


def answering_bad_input(handler: Handler) -> Handler:
    """Turn bad input into an answer that says what is wrong."""

    async def guarded(request: web.Request) -> web.Response:
        try:
            return await handler(request)
        except ValidationError as error:
            return answers.error(400, "; ".join(_sentence(problem) for problem in error.errors()))
        except (ValueError, RecursionError) as error:
            return answers.error(400, str(error))

    return guarded


def _sentence(problem: Any) -> str:
    """Return one of pydantic's findings as a line."""
    place = ".".join(str(part) for part in problem["loc"])
    return f"{place}: {problem['msg']}" if place else str(problem["msg"])


async def _object(request: web.Request) -> dict[str, Any]:
    """Return the body, which has to be a JSON object."""
    given = await request.json()
    if not isinstance(given, dict):
        raise ValueError("the body must be a JSON object")  # noqa: TRY004 - bad input, not a bug
    return given


def _rows(given: object) -> list[dict[str, Any]]:
    """Return one row or a list of rows as a list."""
    rows = given if isinstance(given, list) else [given]
    if not all(isinstance(row, dict) for row in rows):
        raise ValueError("a history row must be a JSON object")
    return list(rows)
