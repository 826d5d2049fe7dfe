"""Paths that belong to no operation: what a real server answers there, or that it has what is not here."""

from __future__ import annotations

from collections.abc import Sequence

from standins.kubernetes.errors import (
    NoSuchPath,
    Refused,
    no_such_resource,
    not_allowed,
    not_found,
    unsupported,
)
from standins.kubernetes.kinds import KINDS, Kind

#: Groups of Kubernetes' own.
_GROUPS = frozenset(
    (
        *("", "apps", "autoscaling", "batch", "policy"),
        *(f"{name}.k8s.io" for name in ("admissionregistration", "apiextensions", "apiregistration")),
        *(f"{name}.k8s.io" for name in ("authentication", "authorization", "certificates", "coordination")),
        *(f"{name}.k8s.io" for name in ("discovery", "events", "flowcontrol.apiserver", "networking")),
        *(f"{name}.k8s.io" for name in ("node", "rbac.authorization", "resource", "scheduling", "storage")),
    )
)
#: Their kinds that are not here at all, as far as somebody may ask for them.
_ELSEWHERE = frozenset(
    (
        *("bindings", "componentstatuses", "endpoints", "persistentvolumeclaims", "persistentvolumes"),
        *("podtemplates", "replicationcontrollers", "ingresses", "ingressclasses", "controllerrevisions"),
        *("mutatingwebhookconfigurations", "validatingwebhookconfigurations", "priorityclasses", "leases"),
        *("horizontalpodautoscalers", "poddisruptionbudgets", "storageclasses", "endpointslices"),
    )
)
_CUSTOM = frozenset(kind.group for kind in KINDS if kind.is_custom)


def refusal(method: str, path: str, kinds: Sequence[Kind]) -> Refused:
    """404 where a real server has nothing either, 405 for what it does not allow, 501 for what is not here.
    `kinds` are those that are served.
    """
    first, *words = path.strip("/").split("/")
    group = words.pop(0) if first == "apis" and words else ""
    if first not in ("api", "apis") or (first == "apis" and group not in _GROUPS | _CUSTOM):
        return NoSuchPath()
    nothing = NoSuchPath() if group in _CUSTOM else no_such_resource()
    if len(words) < 2:
        if group in _GROUPS and not any(kind.group == group for kind in KINDS):
            return unsupported(f"{method} {path}")
        return nothing
    version, *words = words
    is_inside = words[0] == "namespaces" and len(words) > 2 and words[2] not in ("status", "finalize")
    plural, *words = words[2:] if is_inside else words
    found = (each for each in kinds if (each.group, each.version, each.plural) == (group, version, plural))
    kind = next(found, None)
    if kind is None and plural.startswith("selfsubject") and group.startswith("auth"):
        return not_allowed()  # questions can only be posted
    if kind is None:
        return unsupported(f"{method} {path}") if group in _GROUPS and plural in _ELSEWHERE else nothing
    return nothing if is_inside and not kind.namespaced else _of_kind(method, kind, words, is_inside)


def _of_kind(method: str, kind: Kind, words: list[str], is_inside: bool) -> Refused:
    """`words` are the object's name and a subresource, where there are."""
    if len(words) > 1 and words[1:] != ["status"]:
        if kind.is_custom:
            return not_found(kind, words[0])
        return no_such_resource() if words[1] != "finalize" else _missing(method, kind, {"PUT"})
    if kind.is_custom and kind.namespaced and not is_inside and (words or method != "GET"):
        return NoSuchPath()
    return _missing(method, kind, {"PUT", "PATCH", "DELETE"} if words else {"POST", "DELETE"})


def _missing(method: str, kind: Kind, known: set[str]) -> Refused:
    """`known` are methods that a real server knows beside GET."""
    is_here = "create" in kind.verbs and known != {"PUT"}
    return not_allowed() if is_here or method not in known else unsupported(f"{method} of {kind.plural}")
