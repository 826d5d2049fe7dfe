"""What comes with a request: the object, the options of a write, the options of a deletion."""

from __future__ import annotations

import json
from typing import Any

import yaml
from aiohttp import web

from standins.kubernetes import protobuf
from standins.kubernetes.cluster import Deletion
from standins.kubernetes.errors import bad_request, invalid_options, unsupported
from standins.kubernetes.kinds import Kind, Object


async def sent(request: web.Request) -> Object:
    """The object that came with a request: JSON, YAML or protobuf. Raises `Refused` (400, 501)."""
    if request.content_type == protobuf.MEDIA_TYPE:
        return protobuf.decoded(await request.read())
    value: Object = parsed(await request.text())
    return value


def parsed(text: str, kind: type = dict) -> Any:
    """JSON or, for apply, YAML. Raises `Refused` (400)."""
    try:
        value = json.loads(text) if text.lstrip().startswith(("{", "[")) else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError) as error:
        raise bad_request("error decoding the body") from error
    if not isinstance(value, kind):
        raise bad_request(f"the body is not {'an object' if kind is dict else 'a list'}")
    return value


def read(request: web.Request, kind: Kind, value: Object, complete: bool = False) -> Object:
    """The object in the request, if it is what the path says. Only an apply must spell out the version and
    kind of a built-in kind.
    """
    _check_type(kind, value, complete)
    metadata = value["metadata"] = value.get("metadata") or {}
    _check_place(request, metadata)
    if "name" in request.match_info:
        metadata["name"] = request.match_info["name"]
    return value


def _check_type(kind: Kind, value: Object, complete: bool) -> None:
    for field, expected, name in (
        ("apiVersion", kind.api_version, "API version"),
        ("kind", kind.name, "kind"),
    ):
        given = value.get(field)
        if given is None and (complete or kind.is_custom):
            raise bad_request(f"Object '{field[0].upper()}{field[1:]}' is missing in the body")
        if given not in (None, expected):
            raise bad_request(
                f"the {name} in the data ({given}) does not match the expected {name} ({expected})"
            )


def _check_place(request: web.Request, metadata: Object) -> None:
    for field in ("name", "namespace"):
        given, on_url = metadata.get(field), request.match_info.get(field)
        if on_url is not None and given not in (None, "", on_url):
            subject = (
                "the namespace of the provided object" if field == "namespace" else "the name of the object"
            )
            target = (
                "the namespace sent on the request"
                if field == "namespace"
                else f"the name on the URL ({on_url})"
            )
            raise bad_request(f"{subject} {f'({given}) ' if field == 'name' else ''}does not match {target}")


def check_options(request: web.Request, options: str) -> None:
    """Raises `Refused` (422) for values of parameters that no server knows."""
    if (dry_run := request.query.get("dryRun")) not in (None, "All"):
        raise invalid_options(options, "dryRun", f'Unsupported value: "{dry_run}": supported values: "All"')
    if (validation := request.query.get("fieldValidation", "")) not in ("", "Ignore", "Strict", "Warn"):
        why = f'Unsupported value: "{validation}": supported values: "", "Ignore", "Strict", "Warn"'
        raise invalid_options(options, "fieldValidation", why)
    if request.query.get("force") and request.content_type != "application/apply-patch+yaml":
        raise invalid_options(options, "force", "Forbidden: may not be specified for non-apply patch")


def check_manager(request: web.Request) -> None:
    """Raises `Refused` (422) for an apply in nobody's name."""
    if not request.query.get("fieldManager"):
        raise invalid_options("PatchOptions", "fieldManager", "Required value: is required for apply patch")


def deletion(request: web.Request, body: Object | None) -> Deletion:
    """From the body or, where there is none, from the parameters. Raises `Refused` (422)."""
    given: Object = body if body is not None else dict(request.query)
    policy = given.get("propagationPolicy") or (
        "Orphan" if given.get("orphanDependents") in (True, "true") else "Background"
    )
    if policy not in ("Background", "Foreground", "Orphan"):
        why = f'Unsupported value: "{policy}": supported values: "Foreground", "Background", "Orphan", "nil"'
        raise invalid_options("DeleteOptions", "propagationPolicy", why)
    check_options(request, "DeleteOptions")
    return Deletion(
        given.get("preconditions") or {}, policy, "dryRun" in request.query or bool(given.get("dryRun"))
    )


def plain(patch: Any) -> Any:
    """A strategic merge patch that is a plain merge patch: the lists of these kinds are replaced. Raises
    `Refused` (501) for directives.
    """
    if isinstance(patch, dict):
        if directives := [name for name in patch if name.startswith("$")]:
            raise unsupported(f"{directives[0]} in a strategic merge patch")
        return {name: plain(part) for name, part in patch.items()}
    return patch


def quoted(text: str) -> str:
    """As a quoted string of an HTTP header."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
