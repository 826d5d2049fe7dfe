"""Errors as a Kubernetes API server words them: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/ ."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from standins.kubernetes.kinds import Kind


class Refused(Exception):
    """A failure with its HTTP code and reason, for instance 409 `AlreadyExists`."""

    def __init__(self, code: int, reason: str, message: str, causes: list[dict[str, str]] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.causes = causes

    def response(self) -> web.Response:
        status: dict[str, Any] = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
        status |= {"message": self.message, "reason": self.reason, "code": self.code}
        if self.causes:
            status["details"] = {"causes": self.causes}
        return web.json_response(status, status=self.code)


def not_found(kind: Kind, name: str) -> Refused:
    return Refused(404, "NotFound", f'{kind.resource} "{name}" not found')


def already_exists(kind: Kind, name: str) -> Refused:
    return Refused(409, "AlreadyExists", f'{kind.resource} "{name}" already exists')


def conflict(kind: Kind, name: str, why: str) -> Refused:
    return Refused(409, "Conflict", f'Operation cannot be fulfilled on {kind.resource} "{name}": {why}')


def modified(kind: Kind, name: str) -> Refused:
    return conflict(kind, name, "the object has been modified; please apply your changes to the latest version and try again")


def forbidden(kind: Kind, name: str, why: str) -> Refused:
    return Refused(403, "Forbidden", f'{kind.resource} "{name}" is forbidden: {why}')


def invalid(kind: Kind, name: str, why: str) -> Refused:
    full = f"{kind.name}.{kind.group}" if kind.group else kind.name
    return Refused(422, "Invalid", f'{full} "{name}" is invalid: {why}')


def bad_request(message: str) -> Refused:
    return Refused(400, "BadRequest", message)
