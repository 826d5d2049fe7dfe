"""What comes with a request: the object, the options of a write, the options of a deletion."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import yaml
from aiohttp import web

from standins.kubernetes import protobuf
from standins.kubernetes.cluster import Deletion
from standins.kubernetes.errors import Refused, bad_request, invalid, invalid_options, unsupported
from standins.kubernetes.kinds import Kind, Object
from standins.kubernetes.schema import Violation

_TYPES = ("application/json", "application/yaml", protobuf.MEDIA_TYPE)


async def sent(request: web.Request, kind: str = "") -> Object:
    """The object that came with a request: JSON, YAML or protobuf. Raises `Refused` (400, 415, 501)."""
    media = request.headers.get("Content-Type", _TYPES[0]).partition(";")[0].strip()
    if media not in _TYPES:
        raise unknown_format(_TYPES)
    if media == protobuf.MEDIA_TYPE:
        return protobuf.decoded(await request.read())
    text = await request.text()
    value = parsed(text) if media == _TYPES[1] else _json(text, kind)
    if not isinstance(value, dict):
        raise bad_request("the body is not an object")
    return value


def unknown_format(accepted: Iterable[str]) -> Refused:
    """415 for a body in none of these media types."""
    why = "the body of the request was in an unknown format - accepted media types include: "
    return Refused(415, "UnsupportedMediaType", why + ", ".join(accepted))


def _json(text: str, kind: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        why = f"couldn't get version/kind; json parse error: {_json_problem(text, error)}"
        raise _unrecognized(kind, why, text) from error


def _json_problem(text: str, error: json.JSONDecodeError) -> str:
    found = text[error.pos : error.pos + 1]
    problem = f"invalid character '{found}' looking for beginning of value"
    return problem if found else "unexpected end of JSON input"


def _unrecognized(kind: str, why: str, text: str) -> Refused:
    return bad_request(f"the object provided is unrecognized (must be of type {kind}): {why} ({text})")


def parsed(text: str) -> Any:
    """An object that is applied: JSON, or else YAML. Raises `Refused` (400)."""
    try:
        value = json.loads(text)
    except ValueError:
        value = _yaml(text)
    if not isinstance(value, dict):
        raise bad_request(
            "error decoding YAML: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal "
            f"{_GO.get(type(value), 'value')} into Go value of type map[string]interface {{}}"
        )
    return value


def patch(text: str, kind: type = dict) -> Any:
    """A merge patch, or the operations of a JSON patch. Raises `Refused` (400)."""
    wanted = "map[string]interface {}" if kind is dict else "[]handlers.jsonPatchOp"
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise bad_request(f"error decoding patch: {_json_problem(text, error)}") from error
    if not isinstance(value, kind):
        given = _GO.get(type(value), "value")
        raise bad_request(
            f"error decoding patch: json: cannot unmarshal {given} into Go value of type {wanted}"
        )
    return value


_GO = {dict: "object", list: "array", str: "string", int: "number", bool: "bool"}


def _yaml(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark, problem = getattr(error, "problem_mark", None), str(getattr(error, "problem", error))
        why = problem.partition(",")[0].replace("expected the", "did not find expected")
        line = f"line {mark.line + 1}: " if mark else ""
        text = f"error decoding YAML: error converting YAML to JSON: yaml: {line}{why}"
        raise bad_request(text) from error


async def whole(request: web.Request, kind: Kind) -> Object:
    """The object that shall be created or replaced, if it is what the path says. Only a custom object must
    spell out its version and kind.
    """
    value = await sent(request, kind.name)
    if value.get("kind") is None and kind.is_custom:
        text = await request.text()
        raise _unrecognized(kind.name, f"Object 'Kind' is missing in '{text}'", text)
    if kind.is_custom and value["kind"] != kind.name:
        why = f'Invalid value: "{value["kind"]}": must be {kind.name}'
        other = replace(kind, name=value["kind"])
        raise invalid(
            other,
            (value.get("metadata") or {}).get("name", ""),
            [Violation("kind", "FieldValueInvalid", why)],
        )
    for field, expected, name in (
        ("apiVersion", kind.api_version, "API version"),
        ("kind", kind.name, "kind"),
    ):
        given = value.get(field) or ("" if kind.is_custom else expected)
        if given != expected:
            text = f"the {name} in the data ({given}) does not match the expected {name} ({expected})"
            raise bad_request(text)
    return read(request, value)


def applied(text: str, request: web.Request, kind: Kind) -> Object:
    """The object that shall be applied: it says what it is."""
    value: Object = parsed(text)
    version, name = value.get("apiVersion") or "", value.get("kind") or ""
    if (version, name) != (kind.api_version, kind.name):
        given = version if "/" in version else f"/{version}"
        raise bad_request(f"invalid object type: {given}, Kind={name}")
    return read(request, value)


def read(request: web.Request, value: Object) -> Object:
    """The object in the request, if it is where the path says."""
    metadata = value["metadata"] = value.get("metadata") or {}
    _check_place(request, metadata)
    if "name" in request.match_info:
        metadata["name"] = request.match_info["name"]
    return value


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
        why = f'Unsupported value: ["{dry_run}"]: supported values: "All"'
        raise invalid_options(options, "dryRun", why)
    if (validation := request.query.get("fieldValidation", "")) not in ("", "Ignore", "Strict", "Warn"):
        why = f'Unsupported value: "{validation}": supported values: "", "Ignore", "Strict", "Warn"'
        raise invalid_options(options, "fieldValidation", why)
    if request.query.get("force") and request.content_type != "application/apply-patch+yaml":
        raise invalid_options(options, "force", "Forbidden: may not be specified for non-apply patch")


def check_manager(request: web.Request) -> None:
    """Raises `Refused` (422) for an apply in nobody's name."""
    if not request.query.get("fieldManager"):
        raise invalid_options("PatchOptions", "fieldManager", "Required value: is required for apply patch")


def deletion(request: web.Request, body: Object | None) -> tuple[Deletion, bool]:
    """What is asked for, and whether it is only tried: from the body or, where there is none, from the
    parameters. Raises `Refused` (422).
    """
    given: Object = body if body is not None else dict(request.query)
    policy = given.get("propagationPolicy") or (
        "Orphan" if given.get("orphanDependents") in (True, "true") else "Background"
    )
    if policy not in ("Background", "Foreground", "Orphan"):
        why = f'Unsupported value: "{policy}": supported values: "Foreground", "Background", "Orphan", "nil"'
        raise invalid_options("DeleteOptions", "propagationPolicy", why)
    check_options(request, "DeleteOptions")
    tried = "dryRun" in request.query or bool(given.get("dryRun"))
    return Deletion(given.get("preconditions") or {}, policy), tried


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
