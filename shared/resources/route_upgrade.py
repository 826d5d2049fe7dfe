"""Which standing routes may be brought from the form of earlier versions to today's, and when.

Only a route goes whose road was seen to answer in the form that it has, and one goes first. Once a road was
seen to answer in today's form, up to ten routes may be on their way at a time. A route whose road fails then
gets its earlier form back, and no other is touched until a person has looked: its annotation says so,
`mergekey.dev/route: kept <form> <since> <cause>`. While a route is on its way it says
`mergekey.dev/route: tried <form> <since>`, with the form that it had.

Routes of today's form that name no host, because some of an earlier version stood beside them, name it when
all listeners of the Gateway are for that host (`shared.gateway_api.listeners.is_for_host`): else the first of
them would end the calls of all others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, get_args

from shared.gateway_api.road import ANNOTATION as ROAD
from shared.gateway_api.road import RoadNote, printable, read_note
from shared.marker import format_time, read_time
from shared.resources.actual import Limit, Route
from shared.resources.network_policy import PolicyForms, Step
from shared.resources.routes import form_of, names_no_host
from shared.resources.workspaces import spec_matches

#: The annotation of a route that is on its way, or was taken back.
ANNOTATION = "mergekey.dev/route"
#: Routes that are on their way at the same time, once one was seen to answer in today's form.
MOST_AT_ONCE = 10
#: Namespace and name of a route.
Name = tuple[str, str]
Word = Literal["tried", "kept"]
_STAGES: tuple[Word, ...] = get_args(Word)
#: What is brought to today's form: a route with a prefix, one without a host, or the network policy of its
#: namespace.
Was = Literal["prefix", "host", "policy"]
_FORMS: tuple[Was, ...] = get_args(Was)


@dataclass(frozen=True, slots=True)
class UpgradeNote:
    """`tried`: written in today's form, and not seen to answer yet; `kept`: it has its earlier form back, for
    this `cause`. `form` is what had an earlier one: the route, or the network policy of its namespace, of
    which one of the routes tells.
    """

    step: Word
    form: Was
    since: datetime
    cause: str = ""

    @property
    def text(self) -> str:
        """The value of the annotation."""
        cause = f" {printable(self.cause)}" if self.cause else ""
        return f"{self.step} {self.form} {format_time(self.since)}{cause}"


def upgrade_note(route: Route) -> UpgradeNote | None:
    """The note on a route; None for none, and for a text that people wrote."""
    text = route.annotations.get(ANNOTATION, "")
    step, form, since, cause = (text.split(" ", 3) + [""] * 4)[:4]
    known, moment = next((each for each in _STAGES if each == step), None), read_time(since)
    was = next((each for each in _FORMS if each == form), None)
    if known is None or was is None or moment is None:
        return None
    return UpgradeNote(known, was, moment, printable(cause))


def road_note(route: Route) -> RoadNote | None:
    """What the route's road was last seen to do, in any form of the route."""
    return read_note(route.annotations.get(ROAD))


def road_of(route: Route) -> RoadNote | None:
    """What its road was last seen to do as the route is now; None where it was not asked since."""
    note = road_note(route)
    return note if note is not None and note.generation == route.generation else None


def answers(route: Route) -> bool:
    """Whether calls arrived when its road was asked last."""
    return route.managed and _says(route, "Answers")


def fails(route: Route) -> bool:
    """Whether calls did not arrive when its road was asked last."""
    return route.managed and (_says(route, "RoadFails") or _says(route, "OtherName"))


@dataclass(frozen=True, slots=True)
class Upgrade:
    """How far the upgrade is: the routes that may be written in today's form now (`due`), those that were and
    are not seen to answer yet (`tried`), those that were taken back (`kept`), those that cannot be asked from
    here (`unasked`), and how many have an earlier form (`earlier`), and how many may begin now (`room`).
    """

    due: frozenset[Name] = frozenset()
    tried: frozenset[Name] = frozenset()
    kept: Mapping[Name, UpgradeNote] = field(default_factory=dict)
    unasked: frozenset[Name] = frozenset()
    earlier: int = 0
    room: int = 0


NOTHING_TO_UPGRADE = Upgrade()


def due(routes: Mapping[str, Iterable[Route]], host: str | None = None) -> frozenset[Name]:
    """The routes, by namespace in `routes`, that may be written in today's form now."""
    return upgrade_of(routes, host).due


def upgrade_of(routes: Mapping[str, Iterable[Route]], host: str | None = None) -> Upgrade:
    """How far the upgrade of all routes is, which are given by namespace; only ours count. `host` is the one
    that a route may name beside others that name none; None for none.
    """
    ours = _ours(routes)
    earlier, today = _of_form(ours, host, "prefix", "host"), _of_form(ours, host, None)
    notes = {name: note for name, each in ours.items() if (note := upgrade_note(each)) is not None}
    kept = {name: note for name, note in notes.items() if note.step == "kept"}
    tried = frozenset(notes.keys() & today.keys() - kept.keys())
    unasked = _that_say(earlier, "NotReachable")
    room = 0 if kept else max(_room(today, bool(unasked)) - len(tried), 0)
    turns = sorted(_that_say(earlier, "Answers"))
    return Upgrade(frozenset(turns[:room]), tried, kept, unasked, len(earlier), room)


def _ours(routes: Mapping[str, Iterable[Route]]) -> dict[Name, Route]:
    return {(home, each.name): each for home, found in routes.items() for each in found if each.managed}


def _of_form(routes: Mapping[Name, Route], host: str | None, *forms: str | None) -> dict[Name, Route]:
    return {name: each for name, each in routes.items() if earlier_form(each, name[0], host) in forms}


def earlier_form(route: Route, home: str, host: str | None) -> Literal["prefix", "host", "other"] | None:
    """The form of an earlier version that the route in this namespace has; None for today's."""
    form = form_of(route.spec, home, route.name)
    if form != "exact":
        return form
    return "host" if host is not None and names_no_host(route.spec) else None


def _that_say(routes: Mapping[Name, Route], word: str) -> frozenset[Name]:
    return frozenset(name for name, each in routes.items() if _says(each, word))


def _room(today: Mapping[Name, Route], is_unreachable: bool) -> int:
    """How many may be on their way. Where roads cannot be asked from here none is tried, until one of today's
    form was seen to answer.
    """
    if _that_say(today, "Answers"):
        return MOST_AT_ONCE
    return 0 if is_unreachable else 1


def _says(route: Route, word: str) -> bool:
    note = road_of(route)
    return note is not None and note.verdict.word == word


def policy_step(
    forms: PolicyForms, limits: Iterable[Limit], home: str, routes: Iterable[Route], upgrade: Upgrade
) -> Step:
    """What may be done with the network policy of a namespace: it lets in the proxies too (`wide`) with the
    first route that is due, where calls fail, and where all roads answer in today's form; it lets in nobody
    else any more (`narrow`) when all roads answer in today's form, and there is room.
    """
    standing, ours = standing_policy(forms, limits), _ours({home: routes})
    is_proven = bool(ours) and all(_is_proven(each, home) for each in ours.values())
    if standing == "wide":
        return "narrow" if is_proven and upgrade.room else "stays"
    may_be_widened = is_proven or bool(ours.keys() & upgrade.due or _that_say(ours, "RoadFails"))
    return "wide" if standing == "earlier" and may_be_widened else "stays"


def standing_policy(
    forms: PolicyForms, limits: Iterable[Limit]
) -> Literal["earlier", "wide", "narrow"] | None:
    """The form that the network policy has; None where it is missing, or was edited."""
    found = next((each for each in limits if each.kind == "NetworkPolicy" and each.managed), None)
    if found is None:
        return None
    if spec_matches(found.spec, forms.narrow):
        return "narrow"
    if spec_matches(found.spec, forms.wide):
        return "wide"
    return "earlier" if spec_matches(found.spec, forms.earlier) else None


def _is_proven(route: Route, home: str) -> bool:
    """Whether it has today's form, its road answers, and nothing of it is on its way or was taken back."""
    is_today = form_of(route.spec, home, route.name) == "exact"
    return is_today and _says(route, "Answers") and upgrade_note(route) is None
