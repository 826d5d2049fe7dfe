"""The ways around API Management that a cluster leaves open. Pure.

Three close them: a Gateway that takes routes of our namespaces only, a frontend that only API Management
reaches (by a private address, or by its client certificate), and network policies that have an effect.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from shared.gateway_api.controllers import Controller, by_class
from shared.gateway_api.observed import Gateway, Listener, condition

TAKES_OTHERS = "GatewayTakesOtherRoutes"
IS_PUBLIC = "GatewayIsPublic"
POLICIES_IGNORED = "NetworkPoliciesIgnored"
CONTROLLER_DIFFERS = "GatewayControllerDiffers"

#: Every reason that there is.
REASONS = (TAKES_OTHERS, IS_PUBLIC, POLICIES_IGNORED, CONTROLLER_DIFFERS)
#: The word of AKS for a cluster in which nothing enforces network policies.
NO_ENGINE = "none"
#: Names below these are public, as of the frontends of Application Gateway for Containers.
_PUBLIC_NAMES = (".azure.com", ".azurefd.net", ".windows.net")
_PRIVATE_LINK = ".privatelink."
_WITH_TLS = ("HTTPS", "TLS")
#: The condition of a Gateway that takes callers without a valid certificate:
#: https://gateway-api.sigs.k8s.io/geps/gep-91
_NOT_DEMANDED = "InsecureFrontendValidationMode"
_NO_CERTIFICATE = "API Management shows it no client certificate (WORKSPACE_BACKEND_CERTIFICATE)"


@dataclass(frozen=True, slots=True)
class OpenWay:
    """A way that is open. `reason` is explained in docs/errors.md; `text` is for people. `stops_new`: no
    workspace is started while it is open.
    """

    reason: str
    text: str
    stops_new: bool = False


def open_ways(
    gateway: Gateway | None, engine: str | None, *, has_certificate: bool, labels: Mapping[str, str | None]
) -> Iterator[OpenWay]:
    """Those of a cluster. `gateway` is None where it was not read or is not there, `engine` is what enforces
    network policies, None where nobody can tell; `has_certificate` says whether API Management shows a client
    certificate. `labels` are the labels that our namespaces alone carry, with the value that each must have,
    None for any.
    """
    if gateway is not None:
        yield from _public_frontend(gateway, has_certificate)
        yield from _other_routes(gateway, labels)
    if engine == NO_ENGINE:
        text = "nothing enforces network policies in the cluster (networkPolicy: none)"
        yield OpenWay(POLICIES_IGNORED, f"{text}: any pod of it can call the models")


def other_controller(gateway: Gateway, setting: Controller | None) -> Iterator[OpenWay]:
    """A setting that contradicts the class of the Gateway: by it network policies let in pods that are not
    the proxies. A class with another than the usual names tells nothing.
    """
    found = by_class(gateway.class_name)
    if None not in (found, setting) and found != setting:
        text = f"Gateway {gateway.name} has the class {gateway.class_name}, which is that of {found}"
        setting_text = f"WORKSPACE_GATEWAY_CONTROLLER is {setting}: network policies go by the setting"
        yield OpenWay(CONTROLLER_DIFFERS, f"{text}, and {setting_text}")


def _public_frontend(gateway: Gateway, has_certificate: bool) -> Iterator[OpenWay]:
    """A certificate is of use only where each listener asks for it: our routes attach to all of them."""
    public = sorted(filter(is_public, gateway.addresses))
    if not public:
        return
    why = _lets_anybody_in(gateway) if has_certificate else _NO_CERTIFICATE
    if why:
        text = f"Gateway {gateway.name} has the public address {', '.join(public)}, and {why}"
        yield OpenWay(IS_PUBLIC, f"{text}: anybody can call the models past API Management", stops_new=True)


def _lets_anybody_in(gateway: Gateway) -> str:
    """Why a client certificate is of no use, as far as the Gateway shows it; empty for nothing of it."""
    plain = [each.name for each in gateway.listeners if each.protocol not in _WITH_TLS]
    if plain:
        return f"its listener {', '.join(plain)} speaks no TLS"
    insecure = condition(gateway.conditions, _NOT_DEMANDED)
    return "" if insecure is None or insecure.status != "True" else "it takes callers without a certificate"


def _other_routes(gateway: Gateway, labels: Mapping[str, str | None]) -> Iterator[OpenWay]:
    """An exact path in another namespace's route wins over ours, and the calls go there with the prompts."""
    open_to_others = sorted(each.name for each in gateway.listeners if takes_others(each, labels))
    if open_to_others:
        listeners = ", ".join(open_to_others)
        text = f"Gateway {gateway.name} takes routes of other namespaces (listener {listeners})"
        yield OpenWay(TAKES_OTHERS, f"{text}: such a route can take calls of our models, with the prompts")


def takes_others(listener: Listener, labels: Mapping[str, str | None]) -> bool:
    """Whether a listener takes routes of namespaces that are not ours. Those of the Gateway's own namespace
    are the platform's.
    """
    if listener.allowed == "Selector":
        return not _is_narrow(listener.selector, labels)
    return listener.allowed == "All"


def _is_narrow(selector: Mapping[str, Any], labels: Mapping[str, str | None]) -> bool:
    """Whether one part of the selector, all of which must fit, demands a label that is ours."""
    by_label = selector.get("matchLabels") or {}
    demanded = [
        *((name, [value]) for name, value in by_label.items()),
        *map(_demanded, selector.get("matchExpressions") or ()),
    ]
    return any(_is_ours(name, values, labels) for name, values in demanded)


def _demanded(expression: Mapping[str, Any]) -> tuple[str, list[str] | None]:
    """The label, and the values of which it must have one; None for any, empty where that is not demanded."""
    operator, name = expression.get("operator"), str(expression.get("key"))
    if operator == "Exists":
        return name, None
    return name, list(expression.get("values") or ()) if operator == "In" else []


def _is_ours(name: str, values: list[str] | None, labels: Mapping[str, str | None]) -> bool:
    if name not in labels or values == []:
        return False
    wanted = labels[name]
    return wanted is None or (values is not None and set(values) == {wanted})


def is_for_host(gateway: Gateway, host: str) -> bool:
    """Whether all listeners are for this host alone, and the controller has seen that. Routes that name no
    host are for that of their listener then, so that one which names it takes no calls of theirs.
    """
    accepted = condition(gateway.conditions, "Accepted")
    is_seen = accepted is not None and accepted.generation == gateway.generation
    return is_seen and {each.hostname.lower().rstrip(".") for each in gateway.listeners} == {host}


def is_public(address: str) -> bool:
    """Whether an address in a Gateway's status can be reached from everywhere. Of a name that is not one of
    Azure's nobody can tell.
    """
    try:
        return ip_address(address).is_global
    except ValueError:
        name = address.lower().rstrip(".")
        return name.endswith(_PUBLIC_NAMES) and _PRIVATE_LINK not in name
