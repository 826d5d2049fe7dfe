"""Commit statuses: https://docs.github.com/rest/commits/statuses ."""

from __future__ import annotations

import re

from aiohttp import web

from standins.github.answers import Json, Refused, answer, body_of, linked, not_found, page
from standins.github.hub import Call
from standins.github.repositories import repository, user

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
    if sum(status["context"] == context for status in _of_commit(call, sha)) >= _PER_CONTEXT:
        raise _invalid("base", "This SHA and context has reached the maximum number of statuses.")
    number = call.hub.next_id(call.hub.statuses, 40_000_000_001)
    status = _status(call, number, body | {"context": context})
    call.hub.statuses[str(number)] = {"commit": f"{call.repository.full_name} {sha}", "status": status}
    _of_commit(call, sha).append(status)
    response = answer(call.request, status, 201)
    response.headers["Location"] = status["url"]
    return response


async def list_statuses(call: Call) -> web.Response:
    """Newest first."""
    sha = await call.repository.commit(call.part("ref"))
    if sha is None:
        raise not_found()
    rows, link = page(call.request, _of_commit(call, sha)[::-1])
    return linked(answer(call.request, rows), link)


async def combined_status(call: Call) -> web.Response:
    """The newest of each context, and what they come to."""
    sha = await call.repository.commit(call.part("ref"))
    if sha is None:
        raise not_found()
    newest = {status["context"]: status for status in _of_commit(call, sha)}
    rows, link = page(call.request, list(newest.values()))
    shown = repository(call.hub.address, call.repository)
    body = {
        "state": _combined({status["state"] for status in newest.values()}),
        "statuses": [{name: value for name, value in status.items() if name != "creator"} for status in rows],
        "sha": sha,
        "total_count": len(newest),
        "repository": {name: value for name, value in shown.items() if name != "custom_properties"},
        "commit_url": call.url(f"/commits/{sha}"),
        "url": call.url(f"/commits/{sha}/status"),
    }
    return linked(answer(call.request, body), link)


def _of_commit(call: Call, sha: str) -> list[Json]:
    """Oldest first."""
    return call.hub.statuses_of[f"{call.repository.full_name} {sha}"]


def _combined(states: set[str]) -> str:
    """https://docs.github.com/rest/commits/statuses#get-the-combined-status-for-a-specific-reference"""
    if states & {"error", "failure"}:
        return "failure"
    return "pending" if "pending" in states or not states else "success"


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
