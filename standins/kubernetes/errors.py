"""Errors as a Kubernetes API server words them:
https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/ .
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from aiohttp import web

from standins.kubernetes.kinds import Kind, Object
from standins.kubernetes.schema import Violation

Cause = dict[str, str]


def json_answer(
    content: Any, status: int = 200, headers: Mapping[str, str] = MappingProxyType({})
) -> web.Response:
    """JSON, and no word of its charset."""
    body = json.dumps(content).encode()
    return web.Response(body=body, status=status, content_type="application/json", headers=headers)


class Refused(Exception):
    """A failure with its HTTP code and reason, for instance 409 `AlreadyExists`. `details` names the object
    and the causes.
    """

    def __init__(self, code: int, reason: str, message: str, details: Object | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details
        self.metadata: Object = {}
        #: What a client shall do before it asks again, as `Retry-After` says it: seconds.
        self.retry_after: int | None = None

    def status(self) -> Object:
        status: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": self.metadata,
            "status": "Failure",
        }
        status |= {"message": self.message, "code": self.code}
        if self.reason:
            status["reason"] = self.reason
        if self.retry_after is not None:
            self.details = {**(self.details or {}), "retryAfterSeconds": self.retry_after}
        if self.details is not None:
            status["details"] = {name: part for name, part in self.details.items() if part}
        return status

    def response(self) -> web.Response:
        headers = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        return json_answer(self.status(), self.code, headers)


class NoSuchPath(Refused):
    """404 for a group, a version or a kind that is not served: text, and no `Status`."""

    def __init__(self) -> None:
        super().__init__(404, "", "404 page not found\n")

    def response(self) -> web.Response:
        return web.Response(status=404, text=self.message, headers={"X-Content-Type-Options": "nosniff"})


def not_allowed() -> Refused:
    """405 for a method that a path does not have."""
    text = "the server does not allow this method on the requested resource"
    return Refused(405, "MethodNotAllowed", text, {})


def no_such_resource() -> Refused:
    """404 for a kind that a version of Kubernetes' own does not have: nothing is named."""
    return Refused(404, "NotFound", "the server could not find the requested resource", {})


def not_found(kind: Kind, name: str) -> Refused:
    return Refused(404, "NotFound", f'{kind.resource} "{name}" not found', _resource(kind, name))


def already_exists(kind: Kind, name: str) -> Refused:
    return Refused(409, "AlreadyExists", f'{kind.resource} "{name}" already exists', _resource(kind, name))


def conflict(kind: Kind, name: str, why: str) -> Refused:
    message = f'Operation cannot be fulfilled on {kind.resource} "{name}": {why}'
    return Refused(409, "Conflict", message, _resource(kind, name))


def modified(kind: Kind, name: str) -> Refused:
    return conflict(
        kind,
        name,
        "the object has been modified; please apply your changes to the latest version and try again",
    )


def without_version(kind: Kind, name: str) -> Refused:
    """422 for an update of a custom object that does not say which version it is of."""
    text = "Invalid value: 0: must be specified for an update"
    cause = {"reason": "FieldValueInvalid", "message": text, "field": "metadata.resourceVersion"}
    message = f'{kind.resource} "{name}" is invalid: metadata.resourceVersion: {text}'
    return Refused(422, "Invalid", message, {**_resource(kind, name), "causes": [cause]})


def forbidden(kind: Kind, name: str, why: str, causes: list[Cause] | None = None) -> Refused:
    subject = f'{kind.resource} "{name}"' if name else kind.resource
    return Refused(
        403, "Forbidden", f"{subject} is forbidden: {why}", {**_resource(kind, name), "causes": causes}
    )


def invalid(kind: Kind, name: str, problems: Iterable[Violation]) -> Refused:
    """422, with every problem: a cause for each time that it was found, its text once."""
    found = list(problems)
    full = f"{kind.name}.{kind.group}" if kind.group else kind.name
    texts = list(dict.fromkeys(f"{problem.field}: {problem.message}" for problem in found))
    causes = [
        {"reason": problem.reason, "message": problem.message, "field": problem.field} for problem in found
    ]
    message = f'{full} "{name}" is invalid: {texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]"}'
    return Refused(
        422, "Invalid", message, {"name": name, "group": kind.group, "kind": kind.name, "causes": causes}
    )


def invalid_options(name: str, field: str, why: str) -> Refused:
    """422 for a parameter; `name` is for instance `PatchOptions`."""
    cause = {"reason": _REASONS[why.partition(":")[0]], "message": why, "field": field}
    text = f'{name}.meta.k8s.io "" is invalid: {field}: {why}'
    return Refused(422, "Invalid", text, {"group": "meta.k8s.io", "kind": name, "causes": [cause]})


_REASONS = {
    "Required value": "FieldValueRequired",
    "Unsupported value": "FieldValueNotSupported",
    "Forbidden": "FieldValueForbidden",
    "Invalid value": "FieldValueInvalid",
}


def bad_request(message: str) -> Refused:
    return Refused(400, "BadRequest", message)


def undecodable(kind: Kind, why: str) -> Refused:
    """400 for a body that is no such object."""
    return bad_request(f'{kind.name} in version "{kind.version}" cannot be handled as a {kind.name}: {why}')


def expired(message: str) -> Refused:
    return Refused(410, "Expired", message)


def too_new(wanted: int, newest: int) -> Refused:
    """504 for a version that the server has not seen yet."""
    text = f"Too large resource version: {wanted}, current: {newest}"
    cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    refusal = Refused(504, "Timeout", f"Timeout: {text}", {"causes": [cause]})
    refusal.retry_after = 1
    return refusal


def starting(code: int, user: str, method: str, path: str) -> Refused:
    """What a server answers in the moment after its start, before it has read its roles (403), installed its
    paths (503) or opened its storage (429).
    """
    if code == 403:
        verb = {"GET": "get", "POST": "post"}.get(method, method.lower())
        return Refused(403, "Forbidden", f'forbidden: User "{user}" cannot {verb} path "{path}"', {})
    if code == 503:
        text = "the request has been made before all known HTTP paths have been installed, please try again"
        refusal = Refused(503, "ServiceUnavailable", text, {})
        refusal.retry_after = 5
        return refusal
    refusal = Refused(429, "TooManyRequests", "storage is (re)initializing", {})
    refusal.retry_after = 1
    return refusal


def unsupported(message: str) -> Refused:
    """For what a real server would do and this one does not know."""
    return Refused(501, "NotImplemented", f"this stand-in does not know {message}")


def _resource(kind: Kind, name: str) -> Object:
    return {"name": name, "group": kind.group, "kind": kind.plural}
