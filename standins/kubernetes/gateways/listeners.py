"""Which listeners of a Gateway take a route, and under which host names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from standins.kubernetes.gateways.controllers import Controller
from standins.kubernetes.kinds import Object
from standins.kubernetes.selectors import chosen

_PROTOCOLS = ("HTTP", "HTTPS")
#: Host names by listener; an empty name is any.
Hosts = dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class Guest:
    """The namespace of a route, with its labels as the controller knows them."""

    namespace: str
    labels: dict[str, str]


@dataclass(frozen=True)
class Attachment:
    """`hosts` of the listeners that take the route. `refusal` is the reason and the message where none does,
    or none of those is valid.
    """

    hosts: Hosts = field(default_factory=dict)
    refusal: tuple[str, str] | None = None


def attach(
    controller: Controller,
    gateway: Object,
    parent: Object,
    route: Object,
    guest: Guest,
    has_secret: Callable[[str], bool],
) -> Attachment:
    """`has_secret` says whether the Gateway's namespace has a Secret of that name."""
    listeners = gateway["spec"].get("listeners", [])
    named = [each for each in listeners if parent.get("sectionName") in (None, each["name"])]
    meant = [each for each in named if parent.get("port") in (None, each["port"])]
    if not meant:
        missing = "port" if named else "section"
        about = {"section": parent.get("sectionName"), "port": parent.get("port")}
        return Attachment(refusal=controller.said(missing, **about))
    home = gateway["metadata"]["namespace"]
    wanted = route["spec"].get("hostnames") or [""]
    hosts: Hosts = {}
    refusals: list[tuple[str, Object]] = []
    for each in meant:
        shared = common_hosts(each.get("hostname") or "", wanted)
        why = _refusal(each, home, guest, bool(shared))
        if why:
            refusals.append((why, each))
        else:
            hosts[each["name"]] = shared
    if not hosts:
        return Attachment(refusal=_said(controller, refusals, guest))
    are_valid = any(each["name"] in hosts and missing_secret(each, has_secret) is None for each in meant)
    return Attachment(
        hosts, None if are_valid or not controller.has("checks") else controller.said("certificate")
    )


def missing_secret(listener: Object, has_secret: Callable[[str], bool]) -> str | None:
    """The first Secret with a certificate of the listener that is not there."""
    names = [each["name"] for each in (listener.get("tls") or {}).get("certificateRefs", [])]
    return next((name for name in names if not has_secret(name)), None)


def kinds(listener: Object) -> list[str]:
    """The kinds of routes that a listener takes."""
    allowed = (listener.get("allowedRoutes") or {}).get("kinds")
    if allowed:
        return [each["kind"] for each in allowed]
    return ["HTTPRoute", "GRPCRoute"] if listener.get("protocol") in _PROTOCOLS else []


def common_hosts(listener: str, wanted: list[str]) -> tuple[str, ...]:
    """The host names that a listener and a route have in common; an empty name is any."""
    pairs = ((listener, name) for name in wanted)
    return tuple(narrower for pair in pairs if (narrower := _narrower(*pair)) is not None)


def host_matches(pattern: str, host: str) -> bool:
    """Whether a host name is meant by a name, a name with a wildcard, or none."""
    return not pattern or pattern == host or (pattern.startswith("*.") and host.endswith(pattern[1:]))


def _narrower(one: str, other: str) -> str | None:
    if host_matches(one, other):
        return other or one
    return one if host_matches(other, one) else None


def _refusal(listener: Object, home: str, guest: Guest, has_host: bool) -> str:
    if "HTTPRoute" not in kinds(listener):
        return "kind"
    if not _is_allowed(listener, home, guest):
        return "namespace"
    return "" if has_host else "hostname"


def _is_allowed(listener: Object, home: str, guest: Guest) -> bool:
    allowed = (listener.get("allowedRoutes") or {}).get("namespaces") or {}
    match allowed.get("from", "Same"):
        case "All":
            return True
        case "Same":
            return guest.namespace == home
        case "Selector":
            return chosen(allowed.get("selector") or {}, {"metadata": {"labels": guest.labels}})
    return False


def _said(controller: Controller, refusals: list[tuple[str, Object]], guest: Guest) -> tuple[str, str] | None:
    """One word for all listeners: a host name that fits nowhere is told where one of them let it come."""
    by_host = [each for each in refusals if each[0] == "hostname"]
    why, listener = (by_host or refusals)[0]
    about = {"listener_hostname": listener.get("hostname") or "", "namespace": guest.namespace}
    return controller.said(why, **about)
