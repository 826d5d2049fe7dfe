"""Check runs: https://docs.github.com/rest/checks/runs ."""

from __future__ import annotations

from aiohttp import web

from standins.github.accounts import APP_ID
from standins.github.answers import Json, Refused, answer, body_of, invalid_request, linked, not_found, page
from standins.github.hub import Call
from standins.github.repositories import app
from standins.store import Table

_ANNOTATIONS, _TEXT, _TITLE, _MESSAGE = 50, 65535, 255, 64 * 1024
_STATUSES = ("queued", "in_progress", "completed")
_CONCLUSIONS = (
    "action_required",
    "cancelled",
    "failure",
    "neutral",
    "success",
    "skipped",
    "stale",
    "timed_out",
)
_LEVELS = ("notice", "warning", "failure")
_ACTIONS, _ACTION_TEXTS = 3, {"label": 20, "description": 40, "identifier": 20}
_FIELDS = (
    "name",
    "head_sha",
    "status",
    "conclusion",
    "started_at",
    "completed_at",
    "details_url",
    "external_id",
)


async def create_check_run(call: Call) -> web.Response:
    _require_app(call)
    body = await body_of(call.request)
    for name in ("name", "head_sha"):
        if not isinstance(body.get(name), str):
            raise invalid_request(f'"{name}" wasn\'t supplied.')
    sha = await call.repository.git.resolve(body["head_sha"], "commit")
    if sha is None:
        raise Refused(422, f"No commit found for SHA: {body['head_sha']}")
    table = _runs(call)
    number = call.hub.next_id(table, 30_000_000_001)
    run: Json = dict.fromkeys(_FIELDS) | {
        "id": number,
        "repository": call.repository.full_name,
        "output": {},
        "annotations": [],
    }
    run |= {"status": "queued", "started_at": call.hub.timestamp()}
    table[str(number)] = _changed(call, run, body | {"head_sha": sha})
    return answer(call.request, _view(call, table[str(number)]), 201)


async def get_check_run(call: Call) -> web.Response:
    return answer(call.request, _view(call, _find(call)))


async def update_check_run(call: Call) -> web.Response:
    """Annotations are added to those that are there; every other field replaces the old one."""
    _require_app(call)
    # read before the run is: two updates at once must not lose annotations
    body = await body_of(call.request)
    run = _changed(call, _find(call), body)
    _runs(call)[str(run["id"])] = run
    return answer(call.request, _view(call, run))


async def list_check_runs(call: Call) -> web.Response:
    """Newest first; of runs with the same name only the newest, unless `filter=all`."""
    sha = await call.repository.commit(call.part("ref"))
    if sha is None:
        raise Refused(422, f"No commit found for SHA: {call.part('ref')}")
    everything = call.request.query.get("filter") == "all"
    found: list[Json] = []
    for run in reversed(list(_runs(call).values())):
        if _is_wanted(call, run, sha) and (
            everything or run["name"] not in {other["name"] for other in found}
        ):
            found.append(run)
    rows, link = page(call.request, found)
    return linked(
        answer(call.request, {"total_count": len(found), "check_runs": [_view(call, run) for run in rows]}),
        link,
    )


def _is_wanted(call: Call, run: Json, sha: str) -> bool:
    query = call.request.query
    of_commit = run["repository"] == call.repository.full_name and run["head_sha"] == sha
    return (
        of_commit
        and query.get("check_name") in (None, run["name"])
        and query.get("status") in (None, run["status"])
    )


async def list_annotations(call: Call) -> web.Response:
    run = _find(call)
    blob = f"https://github.com/{call.repository.full_name}/blob/{run['head_sha']}"
    listed = [
        {**annotation, "blob_href": f"{blob}/{annotation['path']}"} for annotation in run["annotations"]
    ]
    rows, link = page(call.request, listed)
    return linked(answer(call.request, rows), link)


def _require_app(call: Call) -> None:
    if not call.caller.is_app:
        raise Refused(403, "You must authenticate via a GitHub App.")


def _runs(call: Call) -> Table:
    return call.hub.check_runs


def _find(call: Call) -> Json:
    run: Json | None = _runs(call).get(call.part("id"))
    if run is None or run["repository"] != call.repository.full_name:
        raise not_found()
    return run


def _changed(call: Call, run: Json, body: Json) -> Json:
    changed = {**run, **{name: body[name] for name in _FIELDS if name in body}}
    if body.get("conclusion"):
        changed["status"] = "completed"
    _check_state(changed)
    if changed["status"] == "completed" and not changed["completed_at"]:
        changed["completed_at"] = call.hub.timestamp()
    _check_actions(body.get("actions", []))
    if output := body.get("output"):
        annotations = _checked_output(output)
        changed["output"] = {
            "title": output.get("title"),
            "summary": output["summary"],
            "text": output.get("text"),
        }
        changed["annotations"] = run["annotations"] + annotations
    return changed


def _check_state(run: Json) -> None:
    if run["status"] not in _STATUSES:
        raise invalid_request(f"{run['status']} is not a member of {list(_STATUSES)}.")
    if run["status"] == "completed" and run["conclusion"] not in _CONCLUSIONS:
        raise invalid_request(f"{run['conclusion']} is not a member of {list(_CONCLUSIONS)}.")


def _check_actions(actions: list[Json]) -> None:
    _at_most_items(_ACTIONS, actions)
    for action in actions:
        for name, length in _ACTION_TEXTS.items():
            if name not in action:
                raise invalid_request(f'"{name}" wasn\'t supplied.')
            _at_most(length, action[name])


def _checked_output(output: Json) -> list[Json]:
    """The annotations of the output, complete. Raises `Refused` where GitHub's schema does not fit."""
    for name in ("title", "summary"):
        if not isinstance(output.get(name), str):
            raise invalid_request(f'"{name}" wasn\'t supplied.')
    for name in ("summary", "text"):
        _at_most(_TEXT, output.get(name))
    annotations = output.get("annotations", [])
    _at_most_items(_ANNOTATIONS, annotations)
    return [_checked_annotation(annotation) for annotation in annotations]


def _checked_annotation(annotation: Json) -> Json:
    for name in ("path", "start_line", "end_line", "annotation_level", "message"):
        if name not in annotation:
            raise invalid_request(f'"{name}" wasn\'t supplied.')
    if annotation["annotation_level"] not in _LEVELS:
        raise invalid_request(f"{annotation['annotation_level']} is not a member of {list(_LEVELS)}.")
    if annotation["start_line"] != annotation["end_line"] and annotation.get("start_column"):
        raise invalid_request(
            "start_column and end_column may only be given when start_line and end_line are equal."
        )
    _at_most(_MESSAGE, annotation["message"])
    _at_most(_TITLE, annotation.get("title"))
    return dict.fromkeys(("start_column", "end_column", "title", "raw_details")) | annotation


def _at_most_items(number: int, items: list[Json]) -> None:
    if len(items) > number:
        raise invalid_request(f"No more than {number} items are allowed; {len(items)} were supplied.")


def _at_most(length: int, text: str | None) -> None:
    if text is not None and len(text) > length:
        raise invalid_request(f"Only {length} characters are allowed; {len(text)} were supplied.")


def _view(call: Call, run: Json) -> Json:
    number = run["id"]
    output = {"title": None, "summary": None, "text": None, **run["output"]}
    counted = {
        "annotations_count": len(run["annotations"]),
        "annotations_url": call.url(f"/check-runs/{number}/annotations"),
    }
    return {
        "id": number,
        "node_id": f"CR_{number}",
        **{name: run[name] for name in _FIELDS},
        "external_id": run["external_id"] or "",
        "url": call.url(f"/check-runs/{number}"),
        "html_url": f"{call.hub.address}/{call.repository.full_name}/runs/{number}",
        "output": output | counted,
        "check_suite": {"id": APP_ID},
        "app": app(call.hub),
        "pull_requests": [],
    }
