"""How GitHub answers: errors, ETags, pages."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from aiohttp import web

Json = dict[str, Any]

_DOCUMENTATION = "https://docs.github.com/rest"


class Refused(Exception):
    """An error in GitHub's form: `{message, documentation_url, status}` and, for some, `errors`."""

    def __init__(self, status: int, message: str, errors: Sequence[Json] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.errors = list(errors)

    def response(self) -> web.Response:
        body: Json = {"message": self.message, "documentation_url": _DOCUMENTATION, "status": str(self.status)}
        if self.errors:
            body["errors"] = self.errors
        return web.json_response(body, status=self.status)


def not_found() -> Refused:
    return Refused(404, "Not Found")


def invalid_request(complaint: str) -> Refused:
    """What the checks API says about a body that does not fit its schema."""
    return Refused(422, f"Invalid request.\n\n{complaint}")


def answer(request: web.Request, body: Any, status: int = 200) -> web.Response:
    """JSON; a GET carries an ETag and becomes 304 when the client has that already."""
    return content(request, json.dumps(body).encode(), "application/json; charset=utf-8", status)


def content(request: web.Request, body: bytes, content_type: str, status: int = 200) -> web.Response:
    if request.method != "GET":
        return web.Response(body=body, status=status, headers={"Content-Type": content_type})
    etag = f'W/"{hashlib.sha256(body).hexdigest()}"'
    headers = {"ETag": etag, "Cache-Control": "private, max-age=60, s-maxage=60"}
    known = {tag.strip().removeprefix("W/") for tag in request.headers.get("If-None-Match", "").split(",")}
    if etag.removeprefix("W/") in known:
        return web.Response(status=304, headers=headers)
    return web.Response(body=body, status=status, headers={**headers, "Content-Type": content_type})


def page(request: web.Request, rows: Sequence[Json]) -> tuple[list[Json], str | None]:
    """The rows of the page asked for (`per_page` at most 100, 30 unless told; `page` from 1), and the Link header if more follow."""
    size = min(100, _number(request, "per_page", 30))
    number = _number(request, "page", 1)
    start = (number - 1) * size
    following = None
    if start + size < len(rows):
        url = request.url.update_query(page=number + 1, per_page=size)
        following = f'<{url}>; rel="next"'
    return list(rows[start : start + size]), following


def linked(response: web.Response, link: str | None) -> web.Response:
    if link:
        response.headers["Link"] = link
    return response


async def body_of(request: web.Request) -> Json:
    """The JSON object of the request; an absent body is an empty object. Raises `Refused` (400)."""
    text = await request.read()
    try:
        body = json.loads(text) if text else {}
    except ValueError as error:
        raise Refused(400, "Problems parsing JSON") from error
    if not isinstance(body, dict):
        raise Refused(400, "Body should be a JSON object")
    return body


def _number(request: web.Request, name: str, default: int) -> int:
    value = request.query.get(name, "")
    return max(1, int(value)) if value.isdigit() else default
