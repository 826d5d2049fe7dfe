"""What the answers of a Kubernetes API server mean, beyond their status."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.adapters.answers import instance
from shared.adapters.translate import by_status, wait_asked_for
from shared.errors import Busy, Unavailable

SYSTEM = "Kubernetes"
#: The texts of a 403 for an exceeded quota: only they tell it from a missing role (k8s.io/apiserver,
#: plugin/resourcequota).
_QUOTA_EXCEEDED = ("exceeded quota: ", "status unknown for quota: ")
_PLURALS = {
    "Namespace": "namespaces",
    "Node": "nodes",
    "ConfigMap": "configmaps",
    "ResourceQuota": "resourcequotas",
    "NetworkPolicy": "networkpolicies",
    "HTTPRoute": "httproutes",
    "Gateway": "gateways",
    "Workspace": "workspaces",
    "Pod": "pods",
    "NodeClaim": "nodeclaims",
    "ExternalSecret": "externalsecrets",
}


class PageExpired(Unavailable):
    """410: the next page of a list is not there any more, and the list must be begun again."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an object is; without a name, all objects of its kind, in one namespace or in the cluster."""

    api_version: str
    kind: str
    namespace: str | None = None
    name: str | None = None

    @classmethod
    def of(cls, manifest: Mapping[str, Any]) -> Place:
        metadata = manifest["metadata"]
        return cls(manifest["apiVersion"], manifest["kind"], metadata.get("namespace"), metadata["name"])

    @property
    def path(self) -> str:
        within = f"/namespaces/{self.namespace}" if self.namespace else ""
        named = f"/{self.name}" if self.name else ""
        return f"{version_path(self.api_version)}{within}/{_PLURALS[self.kind]}{named}"


def version_path(api_version: str) -> str:
    """The path of a version; Kubernetes' first kinds have no group."""
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"


@dataclass(frozen=True, slots=True)
class Answer:
    """`headers` have names in lower case."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    def json(self) -> dict[str, Any]:
        """The content of a success. Raises for anything but an object."""
        return instance(dict, json.loads(self.content))

    @property
    def failure(self) -> Mapping[str, Any]:
        """The `Status` of a failure; empty for anything else, such as a text or a page of a proxy."""
        try:
            return self.json()
        except (ValueError, TypeError, RecursionError):
            return {}

    @property
    def is_of_a_missing_object(self) -> bool:
        """Whether a 404 is about an object, which the `Status` then names. Any other 404 is about its kind:
        the server has no such path.
        """
        failure = self.failure
        details = failure.get("details")
        return (
            self.status == 404
            and failure.get("reason") == "NotFound"
            and isinstance(details, dict)
            and bool(details.get("name"))
        )

    def error(self) -> Exception:
        """The error for any status that is not a success."""
        code, message = (str(self.failure.get(name) or "") for name in ("reason", "message"))
        if self.status == 403 and any(words in message for words in _QUOTA_EXCEEDED):
            return Busy(f"{SYSTEM} answered 403: {message[:300]}", reason="QuotaExceeded")
        if self.status == 410:
            return PageExpired(f"{SYSTEM} answered 410 {code}: {message[:300]}")
        return by_status(SYSTEM, self.status, code, message, wait_asked_for(self.headers))
