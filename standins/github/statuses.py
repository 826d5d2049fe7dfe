"""Commit statuses: https://docs.github.com/rest/commits/statuses ."""

from __future__ import annotations

import re

from aiohttp import web

from standins.github.answers import Json, Refused, answer, body_of, linked, page
from standins.github.hub import Call
from standins.github.repositories import user

_STATES = ("error", "failure", "pending", "success")
_DESCRIPTION, _PER_CONTEXT = 140, 1000
_SHA = re.compile(r"[0-9a-f]{40}")


async def create_status(call: Call) -> web.Response:
    body = await body_of(call.request)
    sha = call.part("sha")
    if not _SHA.fullmatch(sha) or await call.repository.git.resolve(sha, "commit") is None:
        raise Refused(422, f"No commit found for SHA: {sha}")
    if body.get("state") not in _STATES:
        raise _invalid("state", "State is not included in the list")
    if len(body.get("description") or "") > _DESCRIPTION:
        raise _invalid("description", f"description is too long (maximum is {_DESCRIPTION} characters)")
    context = body.get("context") or "default"
    table, key = call.hub.statuses, f"{call.repository.full_name} {sha}"
    statuses: list[Json] = table.get(key, [])
    if sum(status["context"] == context for status in statuses) >= _PER_CONTEXT:
        raise _invalid("base", "This SHA and context has reached the maximum number of statuses.")
    call.hub.counters["statuses"] = number = call.hub.counters.get("statuses", 40_000_000_000) + 1
    status = _status(call, number, body | {"context": context})
    table[key] = [*statuses, status]
    return answer(call.request, status, 201)


async def list_statuses(call: Call) -> web.Response:
    """Newest first."""
    sha = await call.repository.commit(call.part("ref"))
    if sha is None:
        raise Refused(404, "Not Found")
    statuses = call.hub.statuses.get(f"{call.repository.full_name} {sha}", [])
    rows, link = page(call.request, statuses[::-1])
    return linked(answer(call.request, rows), link)


def _status(call: Call, number: int, body: Json) -> Json:
    now = call.hub.timestamp()
    return {
        "id": number,
        "node_id": f"SC_{number}",
        "url": call.url(f"/statuses/{call.part('sha')}"),
        "state": body["state"],
        "description": body.get("description"),
        "target_url": body.get("target_url"),
        "context": body["context"],
        "created_at": now,
        "updated_at": now,
        "avatar_url": None,
        "creator": user(call.hub.address, "mergekey-bot" if call.caller.is_app else call.repository.owner),
    }


def _invalid(field: str, message: str) -> Refused:
    error = {"resource": "Status", "code": "custom", "field": field, "message": message}
    return Refused(422, "Validation Failed", [error])
