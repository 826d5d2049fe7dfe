"""Whether a route works, as far as the conditions tell, or why not: one table from what the controllers
write to what it is, who must act, and whether waiting can help.

A condition that is True does not prove that calls arrive: Envoy Gateway and NGINX leave their word standing
when the Gateway is deleted, and Istio accepts a route to a port that the Service does not have. Only a call
proves it. The words are those of https://gateway-api.sigs.k8s.io/reference/spec and of the controllers that
`shared.gateway_api.controllers` knows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from shared.errors import Actor
from shared.gateway_api.observed import Condition, Gateway, Parent, condition

#: After this time without an answer none will come: ten times the slowest that was seen.
ANSWER_TIME = timedelta(seconds=30)
_MAX_DETAIL = 300


@dataclass(frozen=True, slots=True)
class RouteCause:
    """`reason` is explained in docs/errors.md; `text` is for people. `serves`: calls may arrive all the same,
    and people should know it.
    """

    reason: str
    actor: Actor = "the platform"
    text: str = ""
    serves: bool = False


@dataclass(frozen=True, slots=True)
class RouteVerdict:
    """What the conditions say; `text` are the cause's words with those of the controller."""

    cause: RouteCause
    text: str = ""

    @property
    def is_ready(self) -> bool:
        """Whether the conditions say that calls arrive."""
        return self.cause.serves


READY = RouteCause("Ready", "nobody: it is tried again", serves=True)
NOT_YET = RouteCause("RouteNotAnswered", "nobody: it is tried again", "no controller has accepted it yet")
UNANSWERED = RouteCause(
    "RouteNotAnswered",
    text="no controller has accepted it: is the Gateway there, and does its controller run?",
)
NO_GATEWAY = RouteCause("GatewayMissing", text="there is no such Gateway")
NO_CLASS = RouteCause("GatewayClassNotServed", text="no controller serves the class of the Gateway")
AWAY = RouteCause(
    "GatewayControllerAway", text="the Gateway is accepted, and its controller does not answer: does it run?"
)
GATEWAY = RouteCause("GatewayNotAccepted", text="its controller does not accept the Gateway")
NOT_PROGRAMMED = RouteCause("GatewayNotProgrammed", text="the Gateway has no address or no proxy")
LISTENER = RouteCause("InvalidListener", text="the Gateway's listener is not valid")
NOT_ALLOWED = RouteCause(
    "NotAllowedByListeners", text="no listener of the Gateway takes routes of this namespace"
)
NO_PARENT = RouteCause("NoMatchingParent", text="the Gateway has no such listener")
HOSTNAME = RouteCause(
    "NoMatchingListenerHostname",
    text="no listener of the Gateway has the host of WORKSPACE_INGRESS_URL",
)
UNSUPPORTED = RouteCause("RouteNotSupported", text="the controller does not know what the route asks for")
NOT_ACCEPTED = RouteCause("RouteNotAccepted", text="the controller does not accept the route")
BACKEND = RouteCause("BackendNotFound", text="the workspace's Service is not there, or has not this port")
FORBIDDEN = RouteCause(
    "RefNotPermitted", text="the route leads into another namespace, which does not permit it"
)
NO_POD = RouteCause("EndpointsNotFound", text="no pod of the workspace is ready")
IGNORED = RouteCause(
    "UnsupportedField",
    serves=True,
    text="the controller ignores a part of the route: NGINX ends an answer after 60 seconds of silence, and "
    "refuses bodies of more than 1 MiB",
)
OVERLAP = RouteCause("RouteRulesOverlap", serves=True, text="another route has the same path")


@dataclass(frozen=True, slots=True)
class Row:
    """An empty field fits anything."""

    type: str
    status: str
    reasons: tuple[str, ...]
    cause: RouteCause

    def fits(self, found: Condition) -> bool:
        return (found.type, found.status) == (self.type, self.status) and (
            not self.reasons or found.reason in self.reasons
        )


_UNKNOWN_PARTS = ("UnsupportedValue", "InvalidKind", "InvalidFilter", "IncompatibleFilters")
#: Of a route's entry: the first row that fits decides.
ROUTE = (
    # type, status, reasons -> cause
    Row("Accepted", "False", ("NotAllowedByListeners",), NOT_ALLOWED),
    Row("Accepted", "False", ("NoMatchingParent",), NO_PARENT),
    Row("Accepted", "False", ("NoMatchingListenerHostname",), HOSTNAME),
    Row("Accepted", "False", ("InvalidListener",), LISTENER),
    Row("Accepted", "False", _UNKNOWN_PARTS, UNSUPPORTED),
    Row("Accepted", "False", (), NOT_ACCEPTED),
    Row("Accepted", "Unknown", (), UNANSWERED),
    Row("ResolvedRefs", "False", ("BackendNotFound", "PortNotFound"), BACKEND),
    Row("ResolvedRefs", "False", ("RefNotPermitted",), FORBIDDEN),
    Row("ResolvedRefs", "False", _UNKNOWN_PARTS, UNSUPPORTED),
    Row("ResolvedRefs", "False", (), NOT_ACCEPTED),
    Row("ResolvedRefs", "Unknown", (), UNANSWERED),
    Row("BackendsAvailable", "False", (), NO_POD),
    Row("Accepted", "True", ("UnsupportedField",), IGNORED),
    Row("PartiallyInvalid", "True", ("UnsupportedField",), IGNORED),
    Row("PartiallyInvalid", "True", (), UNSUPPORTED),
    Row("RouteRulesOverlap", "True", (), OVERLAP),
)
#: Of a Gateway.
OF_GATEWAY = (
    Row("Accepted", "Unknown", (), NO_CLASS),
    Row("Accepted", "False", (), GATEWAY),
    Row("Programmed", "False", (), NOT_PROGRAMMED),
    Row("Programmed", "Unknown", (), NOT_PROGRAMMED),
)
#: Of a listener.
OF_LISTENER = (
    Row("ResolvedRefs", "False", (), LISTENER),
    Row("Accepted", "False", (), LISTENER),
)
_BY_ITSELF = (NOT_YET, UNANSWERED, NO_GATEWAY, AWAY)
#: Every cause that a route does not work, or not wholly.
CAUSES = tuple(dict.fromkeys([*_BY_ITSELF, *(row.cause for row in (*ROUTE, *OF_GATEWAY, *OF_LISTENER))]))


def judge_route(
    parents: Iterable[Parent],
    generation: int,
    gateway: str,
    age: timedelta,
    seen: Gateway | Literal["missing"] | None = None,
) -> RouteVerdict:
    """Whether the Gateway `namespace/name` takes the route in this `generation`, or why not. `age` is how
    long ago the route was written. `seen` is what there is of the Gateway, None where it was not read:
    then the verdict is as the route alone shows it.

    Good is: some entry of the Gateway with `Accepted` and `ResolvedRefs` True, of this generation. What is
    wrong with the Gateway itself comes before what is wrong with the route.
    """
    if (of_gateway := _judge_gateway(seen)) is not None:
        return of_gateway
    entries = [each.conditions for each in parents if each.gateway == gateway]
    current = [each for each in entries if _is_current(each, generation)]
    if not current:
        return _told(_unanswered(age, seen))
    return min(map(_judge_entry, current), key=_rank)


def needs_gateway(verdict: RouteVerdict) -> bool:
    """Whether the Gateway itself may say more than this verdict, which is of the route alone."""
    return verdict.cause in (UNANSWERED, LISTENER, NOT_ACCEPTED)


def _judge_gateway(seen: Gateway | Literal["missing"] | None) -> RouteVerdict | None:
    """What is wrong with the Gateway; None for nothing, and where it was not read. A listener counts where no
    other is valid.
    """
    if seen is None:
        return None
    if seen == "missing":
        return _told(NO_GATEWAY)
    faults = [_first(OF_LISTENER, each.conditions) for each in seen.listeners]
    if faults and None not in faults:
        return faults[0]
    return _first(OF_GATEWAY, seen.conditions)


def _unanswered(age: timedelta, seen: Gateway | Literal["missing"] | None) -> RouteCause:
    if age < ANSWER_TIME:
        return NOT_YET
    return UNANSWERED if seen is None else AWAY


def _is_current(conditions: Sequence[Condition], generation: int) -> bool:
    """Whether the controller has seen the route as it is."""
    both = (condition(conditions, "Accepted"), condition(conditions, "ResolvedRefs"))
    return both[0] is not None and all(each.generation == generation for each in both if each is not None)


def _judge_entry(conditions: Sequence[Condition]) -> RouteVerdict:
    if (found := _first(ROUTE, conditions)) is not None:
        return found
    resolved = condition(conditions, "ResolvedRefs")
    return _told(READY if resolved is not None else UNANSWERED)


def _rank(verdict: RouteVerdict) -> tuple[bool, bool]:
    """One entry that is good suffices."""
    return not verdict.cause.serves, verdict.cause != READY


def _first(table: Iterable[Row], conditions: Sequence[Condition]) -> RouteVerdict | None:
    """The verdict by the first row of the table that fits any condition."""
    found = ((row.cause, each) for row in table for each in conditions if row.fits(each))
    return next((_told(cause, each) for cause, each in found), None)


def _told(cause: RouteCause, said: Condition | None = None) -> RouteVerdict:
    """The verdict in words for people."""
    words = "" if said is None else " ".join(f"{said.reason}: {said.message}".split())
    detail = "".join(each for each in words if each.isprintable())[:_MAX_DETAIL]
    return RouteVerdict(cause, f"{cause.text} ({detail})" if detail else cause.text)
