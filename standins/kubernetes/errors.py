"""Errors as a Kubernetes API server words them:
https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/ .
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from aiohttp import web

from standins.kubernetes.kinds import Kind, Object
from standins.kubernetes.schema import Violation

Cause = dict[str, str]


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
        if self.details:
            status["details"] = {name: part for name, part in self.details.items() if part}
        return status

    def response(self) -> web.Response:
        return web.json_response(self.status(), status=self.code)


def not_served() -> web.Response:
    """The answer at a path that no group, version or kind has: no `Status`."""
    return web.Response(
        status=404, text="404 page not found\n", headers={"X-Content-Type-Options": "nosniff"}
    )


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


def forbidden(kind: Kind, name: str, why: str, causes: list[Cause] | None = None) -> Refused:
    subject = f'{kind.resource} "{name}"' if name else kind.resource
    return Refused(
        403, "Forbidden", f"{subject} is forbidden: {why}", {**_resource(kind, name), "causes": causes}
    )


def invalid(kind: Kind, name: str, problems: Iterable[Violation]) -> Refused:
    """422, with every problem."""
    found = list(problems)
    full = f"{kind.name}.{kind.group}" if kind.group else kind.name
    texts = [f"{problem.field}: {problem.message}" for problem in found]
    causes = [
        {"reason": problem.reason, "message": problem.message, "field": problem.field} for problem in found
    ]
    message = f'{full} "{name}" is invalid: {texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]"}'
    return Refused(
        422, "Invalid", message, {"name": name, "group": kind.group, "kind": kind.name, "causes": causes}
    )


def invalid_options(name: str, field: str, why: str) -> Refused:
    """422 for a parameter; `name` is for instance `PatchOptions`."""
    return Refused(
        422,
        "Invalid",
        f'{name}.meta.k8s.io "" is invalid: {field}: {why}',
        {"group": "meta.k8s.io", "kind": name},
    )


def bad_request(message: str) -> Refused:
    return Refused(400, "BadRequest", message)


def undecodable(kind: Kind, why: str) -> Refused:
    """400 for a body that is no such object."""
    return bad_request(f'{kind.name} in version "{kind.version}" cannot be handled as a {kind.name}: {why}')


def expired(message: str) -> Refused:
    return Refused(410, "Expired", message)


def unsupported(message: str) -> Refused:
    """For what a real server would do and this one does not know."""
    return Refused(501, "NotImplemented", f"this stand-in does not know {message}")


def _resource(kind: Kind, name: str) -> Object:
    return {"name": name, "group": kind.group, "kind": kind.plural}
