"""How GitHub answers: errors, ETags, pages."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web

Json = dict[str, Any]

_DOCUMENTATION = "https://docs.github.com/rest"


class Refused(Exception):
    """An error in GitHub's form: `{message, documentation_url, status}` and, for some, `errors`; `headers` go
    with it.
    """

    def __init__(
        self, status: int, message: str, errors: Sequence[Json] = (), headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.errors = list(errors)
        self.headers = dict(headers or {})

    def response(self) -> web.Response:
        body: Json = {
            "message": self.message,
            "documentation_url": _DOCUMENTATION,
            "status": str(self.status),
        }
        if self.errors:
            body["errors"] = self.errors
        return web.json_response(body, status=self.status, headers=self.headers)


def not_found() -> Refused:
    return Refused(404, "Not Found")


def empty_repository() -> Refused:
    return Refused(409, "Git Repository is empty.")


def invalid_request(complaint: str) -> Refused:
    """What the checks API says about a body that does not fit its schema."""
    return Refused(422, f"Invalid request.\n\n{complaint}")


def answer(request: web.Request, body: Any, status: int = 200) -> web.Response:
    """JSON; a GET carries an ETag and becomes 304 when the client has that already."""
    return content(request, json.dumps(body).encode(), "application/json; charset=utf-8", status)


def content(request: web.Request, body: bytes, content_type: str, status: int = 200) -> web.Response:
    """An ETag is the token's own: what another token, even of the same App, was given does not match.

    https://github.com/eclipse-csi/otterdog/issues/201 quotes GitHub's support on that.
    """
    if request.method != "GET":
        return web.Response(body=body, status=status, headers={"Content-Type": content_type})
    whose = request.headers.get("Authorization", "").encode()
    etag = f'W/"{hashlib.sha256(whose + body).hexdigest()}"'
    headers = {
        "ETag": etag,
        "Cache-Control": "private, max-age=60, s-maxage=60",
        "Vary": "Accept, Authorization, Cookie, X-GitHub-OTP",
    }
    known = {tag.strip().removeprefix("W/") for tag in request.headers.get("If-None-Match", "").split(",")}
    if etag.removeprefix("W/") in known:
        return web.Response(status=304, headers=headers)
    return web.Response(body=body, status=status, headers={**headers, "Content-Type": content_type})


def page(
    request: web.Request, rows: Sequence[Any], size: int = 30, most: int = 100
) -> tuple[list[Any], str | None]:
    """The rows of the page asked for (`per_page` at most `most`, `size` unless told; `page` from 1), and the
    Link header.

    https://docs.github.com/rest/using-the-rest-api/using-pagination-in-the-rest-api
    """
    size = min(most, _number(request, "per_page", size))
    number = _number(request, "page", 1)
    last = max(1, -(-len(rows) // size))
    targets = {"prev": number - 1, "next": number + 1, "last": last, "first": 1}
    wanted = [*(("next", "last") if number < last else ()), *(("first", "prev") if number > 1 else ())]
    links = [f'<{request.url.update_query(page=targets[rel], per_page=size)}>; rel="{rel}"' for rel in wanted]
    return list(rows[(number - 1) * size : number * size]), ", ".join(links) or None


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
