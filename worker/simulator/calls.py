"""What each call answers when nothing goes wrong, and its refusals in the order of the checks."""

import asyncio
import json
from dataclasses import dataclass
from typing import Any, Literal

from aiohttp import web

from . import account, answers, history, parameters, ranges
from .answers import RefusedError
from .extras import extra_file, key_of
from .faults import FaultRule
from .glb import padded
from .jobs import Run, Status
from .mischief import is_gone
from .studio import Studio
from .world import World, inputs_digest

_LARGE = 256 * 1024
_UNFINISHED = {Status.QUEUED, Status.PROCESSING}
_RECORD_KEYS = {"status", "request_id", "status_url", "response_url", "metrics", "output", "error"}
_POLLS = {"status", "result", "legacy_status", "credits"}


@dataclass
class Visit:
    """One request on its way through the simulator."""

    request: web.Request
    request_id: str | None = None  # the run that it is about, once that is known
    fate: FaultRule | None = None  # what a fault rule has in store for the run that it starts

    @property
    def origin(self) -> str:
        """Scheme, host and port as the client knows them."""
        return f"{self.request.scheme}://{self.request.host}"


class Calls:
    """The vendor's calls, answered from the world's state."""

    def __init__(self, world: World, studio: Studio) -> None:
        self._world = world
        self._studio = studio

    async def submit(self, visit: Visit) -> web.Response:
        """Answer `POST /v2/{slug}` at once, with an earlier run's id where a rule says so."""
        earlier = self._world.newest() if visit.fate is not None and visit.fate.kind == "known_id" else None
        run = await self._accepted(visit, "submit", earlier)
        run = earlier or run
        origin = visit.origin
        poll_url = f"{origin}/v1/requests/{run.request_id}"
        body = {"request_id": run.request_id, "status": "QUEUED", "poll_url": poll_url}
        return web.json_response(body | answers.links(origin, run.request_id))

    async def blocking(self, visit: Visit) -> web.Response:
        """Answer `POST /v1/{slug}` with the model's bytes, once it is made."""
        run = await self._accepted(visit, "blocking")
        while run.status(self._world.clock.now()) not in {Status.COMPLETED, Status.FAILED}:
            if is_gone(visit.request):
                return answers.error(504)
            await self._world.clock.wait(min(run.run_seconds, 0.5))
        if run.failure is not None:
            return answers.error(422, run.failure)
        files = await self._studio.files(run)
        return web.Response(body=files.glb, content_type="model/gltf-binary")

    async def status(self, visit: Visit) -> web.Response:
        """Answer `GET /v2/requests/{id}/status`."""
        run = self._found(visit, "status")
        return _served(self._record(run, visit.origin))

    async def result(self, visit: Visit) -> web.Response:
        """Answer `GET /v2/requests/{id}`, and the older `GET /v1/requests/{id}`."""
        run = self._found(visit, "result")
        body = self._record(run, visit.origin)
        if body["status"] in _UNFINISHED and visit.request.path.startswith("/v2/"):
            return self._unfinished(body)
        if body["status"] == Status.COMPLETED:
            body |= self._output(run, visit.origin)
        return _served(body)

    def _unfinished(self, record: dict[str, Any]) -> web.Response:
        """Answer a result that was asked for before the end, as the settings say."""
        match self._world.settings.unfinished_result:
            case "404":
                return answers.unknown_request()
            case "202":
                return web.Response(status=202, text="Accepted")
            case "empty":
                return web.Response(content_type="application/json")
            case _:
                return _served(record)

    async def credits(self, visit: Visit) -> web.Response:
        """Answer `GET /v1/get-user-credits`."""
        self._admit(visit.request, "credits")
        free = self._world.settings.free_credits
        return web.json_response({"credits": self._world.balance.credits_left, "free-credits": free})

    async def history(self, visit: Visit) -> web.Response:
        """Answer the account host's request history: a page, or one request."""
        self._admit(visit.request, "history")
        if not self._world.settings.history_available:
            raise RefusedError(answers.error(404))
        if visit.request_id is None:
            return self._page(visit)
        row = history.one(self._world, visit.request_id, visit.origin)
        return answers.unknown_request() if row is None else web.json_response(row)

    def _page(self, visit: Visit) -> web.Response:
        """Answer with a page of the history."""
        try:
            return web.json_response(history.page(self._world, visit.request.query, visit.origin))
        except history.BadQueryError as error:
            raise RefusedError(answers.error(400, str(error))) from error

    async def download(self, visit: Visit) -> web.Response:
        """Answer with an output file; whoever has its address may read it."""
        run = self._world.output(visit.request.match_info["token"])
        name = visit.request.match_info["name"]
        if run is None or name not in self._world.output_names(run):
            raise RefusedError(answers.error(404))
        body, media_type = await self._file(run, name)
        has_ranges = self._world.settings.output_ranges
        return await asyncio.to_thread(ranges.answer, visit.request, body, media_type, has_ranges=has_ranges)

    async def _file(self, run: Run, name: str) -> tuple[bytes, str]:
        """Return the content and the media type of one of a run's files."""
        if name == "artifacts.zip":
            return (await self._studio.files(run)).zip, "application/zip"
        if name.endswith(".glb"):
            glb = (await self._studio.files(run)).glb
            return padded(glb, self._world.settings.output_padding_bytes), "model/gltf-binary"
        return extra_file(name)

    async def _accepted(self, visit: Visit, call: Literal["submit", "blocking"], earlier: Run | None = None) -> Run:
        """Start a run, or refuse to; where a rule lets none start, take the earlier one for it."""
        settings = self._world.settings
        request = visit.request
        slug_problem(request)
        self._admit(request, call)
        if request.content_type != "application/json" or "Content-Type" not in request.headers:
            raise RefusedError(answers.error(406))
        if settings.model_forbidden:
            raise RefusedError(answers.error(403))
        if settings.model_retired:
            raise RefusedError(answers.error(410))
        if settings.team_limit_period is not None:
            raise RefusedError(answers.team_limit(settings.team_limit_period, settings.team_limit_cap))
        inputs, digest, fetched = await self._inputs(await request.read())
        self._check_credits(call)
        if earlier is not None and visit.fate is not None and not visit.fate.lets_run_start:
            visit.request_id = earlier.request_id
            return earlier
        run = self._world.accept(call, inputs, digest, fetched, visit.fate)
        visit.request_id = run.request_id
        return run

    def _check_credits(self, call: Literal["submit", "blocking"]) -> None:
        """Refuse a run that can't be paid, each version of the API in its own way."""
        settings, balance = self._world.settings, self._world.balance
        if balance.covers(settings.cost):
            return
        if call == "submit" and settings.credits_status == 402:
            raise RefusedError(answers.insufficient_credits(balance.credits_left))
        raise RefusedError(answers.insufficient_credits_on_v1(balance.credits_left, settings.cost))

    async def _inputs(self, body: bytes) -> tuple[dict[str, Any], str, dict[str, bytes]]:
        """Return a run's parameters, their digest, and the pictures that had to be fetched."""
        try:
            if len(body) < _LARGE:
                inputs, digest = _parsed(body)
            else:
                inputs, digest = await self._studio.apart(_parsed, body)
            return inputs, digest, await self._studio.admit(inputs)
        except parameters.BadParameterError as error:
            raise RefusedError(answers.error(400, str(error))) from error

    def _admit(self, request: web.Request, call: str) -> None:
        """Refuse a bad key, and one request too many."""
        world = self._world
        problem = account.key_problem(request.headers.get("x-api-key"), world.settings.revoked_keys)
        if problem is not None:
            raise RefusedError(answers.unauthorized(problem))
        if call == "history" or (call in _POLLS and not world.settings.polls_counted):
            return
        if not world.window.admits(world.clock.now(), world.settings.requests_per_minute):
            raise RefusedError(answers.rate_limited(world.resets_at()))

    def _found(self, visit: Visit, call: str) -> Run:
        """Return the run that is asked about."""
        self._admit(visit.request, call)
        run = self._world.known(visit.request.match_info["request_id"])
        if run is None:
            raise RefusedError(answers.unknown_request())
        is_mistaken = visit.fate is not None and visit.fate.kind == "other_result"
        return self._world.other_than(run) if is_mistaken else run

    def _record(self, run: Run, origin: str) -> dict[str, Any]:
        """Return the body that status and result share."""
        now = self._world.clock.now()
        body = answers.record(run.status(now).value, run.request_id, origin, run.metrics(now))
        return body | {"error": run.failure} if body["status"] == Status.FAILED else body

    def _output(self, run: Run, origin: str) -> dict[str, Any]:
        """Return where the files are, in the shape that the settings say."""
        settings = self._world.settings
        if not run.has_outputs(self._world.clock.now(), settings.output_delay_seconds):
            return {"output": None}
        named = _named(self._world.output_names(run), f"{origin}/outputs/{run.output_token}")
        match settings.output_shape:
            case "list":
                return {"output": list(named.values())}
            case "object":
                return {"output": named}
            case _:
                return {"output": named.pop("model"), **named}


def _named(files: list[str], place: str) -> dict[str, str]:
    """Return the addresses of files by the keys that a result gives them."""
    named: dict[str, str] = {}
    for name in files:
        named[key_of(name, _RECORD_KEYS | named.keys())] = f"{place}/{name}"
    return named


def _served(record: dict[str, Any]) -> web.Response:
    """Serve a record; a failed run's comes with 422."""
    return web.json_response(record, status=422 if record["status"] == Status.FAILED else 200)


def slug_problem(request: web.Request) -> None:
    """Refuse a model that does not exist."""
    if request.match_info["slug"] != answers.MODEL:
        raise RefusedError(answers.unknown_model())


def _parsed(body: bytes) -> tuple[dict[str, Any], str]:
    """Return the parameters and their digest.

    Raises:
        BadParameterError: they are not good.
    """
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise parameters.BadParameterError("Request body is not valid JSON") from error
    inputs = parameters.check(content)
    return inputs, inputs_digest(inputs)
