"""What a controller says of a route and one of its Gateways."""

from __future__ import annotations

from dataclasses import dataclass

from standins.kubernetes.gateways.controllers import Controller, Row
from standins.kubernetes.gateways.listeners import Attachment
from standins.kubernetes.gateways.references import problems
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
    refused = attachment.refusal or next((said for name, said in found if name == "refused filter"), None)
    ignored = None if refused else _ignored(controller, route)
    accepted: Row = (
        "Accepted",
        str(refused is None),
        *_sure(refused or ignored or controller.said("accepted")),
    )
    wrong = next((said for name, said in found if name not in _ELSEWHERE), None)
    resolved: Row = ("ResolvedRefs", str(wrong is None), *_sure(wrong or controller.said("resolved")))
    rows = [resolved, accepted] if controller.has("lists") and (refused or ignored) else [accepted, resolved]
    alone = next((said for name, said in found if name == "no pod"), None)
    if alone is not None and refused is None:
        rows.insert(1, ("BackendsAvailable", "False", *alone))
    if overlapping and (said := controller.said("overlap", routes=", ".join(overlapping))) is not None:
        rows.append(("RouteRulesOverlap", "True", *said))
    return Verdict(tuple(rows), refused is None)


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
