"""The HTTP server: which address is which call, where faults come in, and how every call is counted."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from . import answers
from .answers import RefusedError
from .calls import Calls, Visit
from .clock import Clock
from .control import Control
from .faults import FATES, READING, STARTING
from .mischief import misbehave
from .settings import SimulatorSettings
from .studio import Studio
from .world import World

HISTORY = "/inference-request/request-history"
Answering = Callable[[Visit], Awaitable[web.Response]]
_WRONG_VERB = 405


def build(world: World) -> web.Application:
    """Return the application that answers for a world."""
    studio = Studio()
    calls = Calls(world, studio)
    limit = world.settings.max_body_bytes
    app = web.Application(client_max_size=limit, middlewares=[_in_the_vendors_words(world)])
    routes: list[tuple[str, str, str, Answering]] = [
        ("POST", "/v2/{slug}", "submit", calls.submit),
        ("GET", "/v2/requests/{request_id}/status", "status", calls.status),
        ("GET", "/v2/requests/{request_id}", "result", calls.result),
        ("GET", "/v1/requests/{request_id}", "legacy_status", calls.result),
        ("GET", "/v1/get-user-credits", "credits", calls.credits),
        ("POST", "/v1/{slug}", "blocking", calls.blocking),
        ("GET", HISTORY, "history", calls.history),
        ("GET", HISTORY + "/{request_id}", "history", calls.history),
        ("GET", "/outputs/{token}/{name}", "download", calls.download),
    ]
    for method, path, call, answering in routes:
        resource = app.router.add_resource(path)
        resource.add_route(method, _spoilable(world, call, answering))
        resource.add_route("*", _wrong_verb)
    Control(world).add_routes(app.router)
    app.on_cleanup.append(lambda _: _closed(studio))
    app.on_response_prepare.append(_dated(world))
    return app


def new_world(settings: SimulatorSettings) -> World:
    """Return a fresh vendor."""
    return World(settings, Clock())


async def _closed(studio: Studio) -> None:
    """Let go of the threads."""
    studio.close()


def _dated(world: World) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    """Return a hook that gives every answer the date of the world's own clock."""

    async def date(_: web.Request, answer: web.StreamResponse) -> None:
        answer.headers["Date"] = world.clock.http_date()

    return date


async def _wrong_verb(request: web.Request) -> web.StreamResponse:
    """Refuse a known address that was asked with the wrong verb."""
    raise web.HTTPMethodNotAllowed(request.method, ())


def _spoilable(world: World, call: str, answering: Answering) -> Handler:
    """Return a handler that lets the fault rules strike first, and counts the call."""

    async def handle(request: web.Request) -> web.StreamResponse:
        visit = Visit(request, request.match_info.get("request_id"))
        answer, counted = await _answer(world, call, answering, visit)
        world.record(call, counted, visit.request_id, request.method, request.path, request.content_length or 0)
        return answer

    return handle


async def _answer(world: World, call: str, answering: Answering, visit: Visit) -> tuple[web.StreamResponse, str]:
    """Answer a call, rightly or wrongly; return the answer and what to count it as."""
    world.let_others_run()
    rule = world.faults.pick(call, {}, None, early=True)
    if rule is None and not world.faults.is_empty:
        rule = world.faults.pick(call, await _inputs(world, call, visit), visit.request_id)

    async def genuine() -> web.Response:
        try:
            return await answering(visit)
        except RefusedError as refusal:
            return refusal.answer

    if rule is not None and rule.kind not in FATES:
        return await misbehave(world, rule, visit.request, call, genuine)
    visit.fate = rule
    answer = await genuine()
    if call == "submit" and answer.status == 200 and (rule is None or rule.kind != "known_id"):
        world.runs[str(visit.request_id)].is_told = True
    return answer, str(answer.status)


async def _inputs(world: World, call: str, visit: Visit) -> dict[str, Any]:
    """Return the inputs of the job that a call is about, for the rules that look at them."""
    run = None
    if call in READING:
        run = world.runs.get(str(visit.request_id))
    if call == "download":
        run = world.outputs.get(visit.request.match_info["token"])
        visit.request_id = None if run is None else run.request_id
    if run is not None or call not in STARTING:
        return {} if run is None else run.inputs
    body = await visit.request.read()
    try:
        given = json.loads(body) if world.faults.look_at_inputs else {}
    except (ValueError, RecursionError):
        return {}
    return given if isinstance(given, dict) else {}


def _in_the_vendors_words(world: World) -> Middleware:
    """Return a middleware that puts the framework's own refusals into the vendor's form, and counts them."""

    @web.middleware
    async def translate(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except web.HTTPException as refusal:
            world.record("other", str(refusal.status), None, request.method, request.path)
            return answers.html(405) if refusal.status == _WRONG_VERB else answers.error(refusal.status)

    return translate
