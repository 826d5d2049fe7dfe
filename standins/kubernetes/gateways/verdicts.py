"""What a controller says of a route and one of its Gateways."""

from __future__ import annotations

from dataclasses import dataclass

from standins.kubernetes.gateways.controllers import Controller, Row
from standins.kubernetes.gateways.listeners import Attachment
from standins.kubernetes.gateways.references import Problem, problems
from standins.kubernetes.kinds import Object
from standins.kubernetes.objects import Objects

#: Names of what is said in other conditions than ResolvedRefs.
_ELSEWHERE = ("no pod", "refused filter")


@dataclass(frozen=True)
class Verdict:
    """The conditions, and whether the proxies get the route."""

    rows: tuple[Row, ...]
    accepted: bool


def verdict(
    controller: Controller,
    objects: Objects,
    route: Object,
    attachment: Attachment,
    overlapping: tuple[str, ...] = (),
) -> Verdict:
    """`overlapping` are the routes of the same listener with a match that this one has too."""
    found = list(problems(controller, objects, route))
    refused = attachment.refusal or _first(found, "refused filter")
    ignored = None if refused else _ignored(controller, route)
    said = _sure(refused or ignored or controller.said("accepted"))
    accepted: Row = ("Accepted", str(refused is None), *said)
    wrong = next((said for name, said in found if name not in _ELSEWHERE), None)
    resolved: Row = ("ResolvedRefs", str(wrong is None), *_sure(wrong or controller.said("resolved")))
    if controller.has("lists") and (refused or ignored):
        return Verdict((resolved, accepted), refused is None)
    alone = None if refused else _first(found, "no pod")
    overlap = controller.said("overlap", routes=", ".join(overlapping)) if overlapping else None
    more = (_row("BackendsAvailable", "False", alone), resolved, _row("RouteRulesOverlap", "True", overlap))
    return Verdict((accepted, *(row for row in more if row is not None)), refused is None)


def _first(found: list[Problem], wanted: str) -> tuple[str, str] | None:
    return next((said for name, said in found if name == wanted), None)


def _row(type_: str, status: str, said: tuple[str, str] | None) -> Row | None:
    return None if said is None else (type_, status, *said)


def _ignored(controller: Controller, route: Object) -> tuple[str, str] | None:
    """What is said of fields that the controller drops: the route is accepted all the same."""
    dropped = [
        f"spec.rules[{number}].{name}: Forbidden: {name[0].upper()}{name[1:]}"
        for number, rule in enumerate(route["spec"].get("rules", []))
        for name in controller.facts.get("ignored", ())
        if name in rule
    ]
    if not dropped:
        return None
    fields = dropped[0] if len(dropped) == 1 else f"[{', '.join(dropped)}]"
    return controller.said("ignored", fields=fields)


def _sure(said: tuple[str, str] | None) -> tuple[str, str]:
    assert said is not None, "every controller says it"
    return said
