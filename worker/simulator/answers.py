"""Every error answer of the vendor: HTTP status, body and header, all in this file."""

from typing import Any

from aiohttp import web

MODEL = "sam-3d-objects"
RESET_HEADER = "x-rate-limit-reset-at-utc"

_MESSAGES = {
    400: "Invalid request parameters",
    402: "Insufficient credits. You have 0.0 credits.",
    403: "You do not have access to this model",
    404: "Not found",
    406: "Invalid content type",
    410: "This model has been retired and is no longer available",
    413: "Request body is too large",
    415: "Unsupported media type",
    422: "Inference failed",
    429: "Rate limit exceeded",
    451: "Unavailable for legal reasons",
    500: "Internal server error",
    502: "Bad gateway",
    503: "Service unavailable",
    504: "Gateway timeout",
}
_TITLES = {405: "405 Method Not Allowed", 502: "502 Bad Gateway", 504: "504 Gateway Time-out"}


class RefusedError(Exception):
    """A request is answered with an error; `answer` is that answer."""

    def __init__(self, answer: web.Response) -> None:
        super().__init__(answer.status)
        self.answer = answer


def error(status: int, message: str | None = None) -> web.Response:
    """Return the usual error body."""
    return web.json_response({"error": message or _MESSAGES.get(status, "Error")}, status=status)


def html(status: int, title: str | None = None) -> web.Response:
    """Return what a gateway or a framework answers when the application does not."""
    title = title or _TITLES.get(status, f"{status} Error")
    head, body = f"<head><title>{title}</title></head>", f"<body><center><h1>{title}</h1></center></body>"
    page = f"<html>\n{head}\n{body}\n</html>\n"
    return web.Response(status=status, text=page, content_type="text/html")


def unauthorized(description: str) -> web.Response:
    """Return the authentication layer's own body."""
    body = {"error": "Unauthorized", "error_description": description, "status_code": 401}
    return web.json_response(body, status=401)


def rate_limited(resets_at: str | None, message: str | None = None) -> web.Response:
    """Return 429 with the one header there is, or without it."""
    answer = error(429, message)
    if resets_at is not None:
        answer.headers[RESET_HEADER] = resets_at
    return answer


def unknown_model() -> web.Response:
    """Return 404 for a slug that no model has."""
    return error(404, "Model not found")


def unknown_request() -> web.Response:
    """Return 404 for a request that never was, or whose record expired."""
    return error(404, "Request not found or expired")


def insufficient_credits(balance: float) -> web.Response:
    """Return 402 that names the balance, as /v2 does."""
    return error(402, f"Insufficient credits. You have {round(balance, 4)} credits.")


def insufficient_credits_on_v1(balance: float, need: float) -> web.Response:
    """Return 406 that names the balance and the need."""
    return error(406, f"Insufficient credits. Available balance: {balance:.4f}, required: {need:.4f}")


def team_limit(period: str, cap: float) -> web.Response:
    """Return 406 that names the period and the cap."""
    return error(406, f"Team {period} spend limit reached. Cap: {cap:.2f} USD")


def by_status(status: int, *, gateway_html: bool, resets_at: str | None, message: str | None = None) -> web.Response:
    """Return the answer that the vendor is most likely to give with an HTTP status, or one that says `message`."""
    match status:
        case 401:
            return unauthorized(message or "API key is invalid or has been revoked")
        case 405 if message is None:
            return html(status)
        case 502 | 504 if gateway_html and message is None:
            return html(status)
        case 429:
            return rate_limited(resets_at, message)
        case _:
            return error(status, message)


def record(run_status: str, request_id: str, origin: str, metrics: dict[str, Any]) -> dict[str, Any]:
    """Return the body that status and result have in common."""
    return {"status": run_status, "request_id": request_id, **links(origin, request_id), "metrics": metrics}


def links(origin: str, request_id: str) -> dict[str, str]:
    """Return where to look for a run, as absolute URLs."""
    return {
        "status_url": f"{origin}/v2/requests/{request_id}/status",
        "response_url": f"{origin}/v2/requests/{request_id}",
    }
