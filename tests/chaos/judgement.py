"""After the chaos: is the state what the branch says, and is everything that happened accounted for?

Every finding is one line for people; none means that nothing was lost, nothing is stale and nothing was
wrongly deleted.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from shared.messaging.routes import STAGES
from shared.names import CATALOG_TEAM
from tests.chaos import strangers
from tests.chaos.deliveries import Delivery, deliveries
from tests.chaos.people import People
from tests.chaos.platform import Platform, fresh
from tests.chaos.roads import silent, told_ready, unproven
from tests.chaos.world import NOBODY, World, observe
from tests.end_to_end.road import DeadLetter
from tests.end_to_end.search import HOMES, issued, where

#: The last line of a stack trace, and the one that a fault leaves.
_RAISED = re.compile(r"^[\w.]*(?:Error|Exception): .*$", re.MULTILINE)
_ON_PURPOSE = "closed on purpose"
_WORKERS = ("provision_catalog", "provision_gateway", "provision_workspaces", "provision_projects")


@dataclass(frozen=True)
class Verdict:
    """`repaired` are the teams that only the sweep brought to what the branch says; `letters` counts the dead
    letters by reason.
    """

    findings: list[str]
    repaired: set[str]
    letters: Counter[str]


def judge(place: Platform) -> Verdict:
    """What `examine` finds, and what is other than where the branch is provisioned afresh."""
    verdict, world = examine(place), observe(place.road)
    return replace(
        verdict, findings=[*verdict.findings, *differences(place.people, world, provisioned_afresh(place))]
    )


def examine(place: Platform) -> Verdict:
    """Ends all trouble, lets everything come to its end, looks deeply at everything, and then: what is
    wrong.
    """
    place.calm()
    place.settle()
    place.converge()
    heard_before = deliveries(place.stack)  # a sweep asks GitHub for what was not heard
    repaired, again = place.sweep(), place.sweep()
    heard, letters = deliveries(place.stack), place.road.dead_letters()
    findings = [f"{team}: a second sweep still found something to do" for team in sorted(again)]
    findings += _unexplained(place, heard_before, letters, repaired)
    findings += vanished(place, heard, letters)
    findings += _speechless(letters)
    findings += _bugs(place)
    findings += _touched(place)
    findings += _roads(place)
    findings += _not_dead(place)
    findings += _other_keys(place)
    findings += _lost_keys(place)
    findings += _spelt(place.stack.folder)
    findings += nothing_judged(place, heard)
    return Verdict(findings, repaired, Counter(str(letter.about.get("reason")) for letter in letters))


def _unexplained(
    place: Platform, heard: list[Delivery], letters: list[DeadLetter], repaired: set[str]
) -> Iterator[str]:
    """What the sweep had to repair, although the last push that changed it was heard, and no dead letter is
    about it.
    """
    commits = {delivery.commit for delivery in heard if delivery.queued is not None}
    unheard = {team: pushed.commit not in commits for pushed in place.people.pushes for team in pushed.teams}
    known = {letter.about.get("team") for letter in letters}
    for team in sorted(repaired - known):
        if not unheard.get(team, False):
            yield (
                f"{team}: the sweep had to repair it, although its last push was heard and no dead letter is "
                "about it"
            )


def vanished(place: Platform, heard: list[Delivery], letters: list[DeadLetter]) -> Iterator[str]:
    """Webhooks that got 202 and did not lead to what was promised."""
    done = place.handled() | {("", letter.about.get("message-id", "")) for letter in letters}
    for delivery in heard:
        if delivery.swept and ("sweep", f"{delivery.guid}/sweep") not in done:
            yield f"delivery {delivery.guid} was left to a sweep that never ran"
        ids = {
            message
            for function, message in done
            if message.startswith(f"{delivery.guid}/") and function in ("", *_WORKERS)
        }
        teams = {message.split("/")[1] for message in ids} - {CATALOG_TEAM, "sweep"}
        if len(teams) < (delivery.queued or 0):
            yield f"delivery {delivery.guid}: {delivery.queued} teams were queued, {len(teams)} arrived"


def _speechless(letters: list[DeadLetter]) -> Iterator[str]:
    stages = {stage.name for stage in STAGES}
    for letter in letters:
        about = letter.about
        if (
            about.get("stage") not in stages
            or not about.get("reason")
            or not about.get("actor")
            or "team" not in about
        ):
            yield f"a dead letter does not say what is the matter: {about}"


def _bugs(place: Platform) -> Iterator[str]:
    """Exceptions that nobody has foreseen, in the app and in the stand-ins, and what the stand-ins do not
    know.
    """
    place.note_calls()
    unknown = (
        each for each in place.calls if each.status == 501 and each.server != "ingress"
    )  # it loads there
    yield from (f"{call.server} does not know {call.target}" for call in unknown)
    failed = Counter(call.function for call in place.stack.invocations() if call.outcome != "ok")
    yield from (
        f"{function} failed {times} times with an exception that is not ours"
        for function, times in sorted(failed.items())
    )
    log = (place.stack.folder / "standins.log").read_text()
    yield from (
        f"the stand-ins failed: {line}"
        for line in sorted(set(_RAISED.findall(log)))
        if _ON_PURPOSE not in line
    )


def _roads(place: Platform) -> Iterator[str]:
    """Workspaces that were called ready without a call, and those that answer none now. A service that was
    killed took its list of calls with it, and a real cluster runs no models.
    """
    if place.real is not None:
        return
    if not place.killed["services killed"]:
        yield from unproven(told_ready(place), place.calls)
    yield from silent(place)


def _touched(place: Platform) -> Iterator[str]:
    """Objects of somebody else that are not what they were."""
    now = strangers.seen(place.road)
    yield from (
        f"somebody else's {what} was touched"
        for what in place.foreign
        if now.get(what) != place.foreign[what]
    )


def _not_dead(place: Platform) -> Iterator[str]:
    """Teams that have withdrawn and whose keys work, whose secrets can be read, or who still hold GPUs."""
    world = observe(place.road)
    for team in sorted(place.people.gone):
        alive = (what for what, value in world.get(team, {}).items() if _is_alive(what.split()[0], value))
        yield from (f"{team} has withdrawn, and {what} is alive" for what in alive)
        yield from _enabled(place, team)


def _is_alive(kind: str, value: Any) -> bool:
    """By the forms of `world.observe`."""
    match kind:
        case "subscription":
            return bool(value[2] != "suspended")
        case "product":
            return "; withdrawn " not in value[4]
        case "secret":
            return bool(value[0])
        case _:
            return kind in ("namespace", "workspace", "project", "users")


def _enabled(place: Platform, team: str) -> Iterator[str]:
    for name in (f"{team}-primary-key", f"{team}-secondary-key", f"{team}-endpoint"):
        versions = place.road.vault.list_properties_of_secret_versions(name)
        yield from (
            f"{team} has withdrawn, and a version of {name} is enabled"
            for version in versions
            if version.enabled
        )


def _other_keys(place: Platform) -> Iterator[str]:
    """Teams whose keys in the vault are not those that the gateway takes."""
    yield from (
        f"{team}: the vault has not the gateway's keys"
        for team in sorted(place.people.present)
        if not place.road.has_its_keys(team)
    )


def _lost_keys(place: Platform) -> Iterator[str]:
    """Teams that never left, nor had another group, and whose first keys work no more: something was deleted
    or regenerated in between. And those that another group could read, and that work.
    """
    for team in sorted((place.people.present.keys() & place.first_keys.keys()) - place.people.left):
        keys, first = place.road.issued_keys(team), place.first_keys[team]
        if team in place.people.handed_over and set(keys) & set(first):
            yield f"{team} has another group, and its first keys work"
        if team not in place.people.handed_over and keys != first:
            yield f"{team} never left, and its first keys work no more"


def _spelt(folder: Path) -> Iterator[str]:
    """Files in which a key is spelt, beside the state of the two services that hold them."""
    files = (path for path in folder.rglob("*") if path.is_file())
    for path in where(issued(folder), files):
        if path.name.removesuffix("-wal") not in HOMES:
            yield f"a key is spelt in {path}"


def nothing_judged(place: Platform, heard: list[Delivery]) -> Iterator[str]:
    """A judgement over nothing says nothing."""
    there = {
        "no fault struck": place.struck,
        "nobody pushed after the beginning": place.people.pushes[1:],
        "no webhook was answered": heard,
        "no message travelled": place.messages,
        "no team is on the branch": place.people.present,
        "no stage ran": place.handled(),
    }
    yield from (f"nothing was judged: {what}" for what, found in there.items() if not found)


def provisioned_afresh(place: Platform) -> World:
    """The world that the branch makes where nothing has been and nothing goes wrong. Its models are those of
    the first, because their address is a part of what is written.
    """
    models = {"WORKSPACE_INGRESS_URL": place.stack.addresses["ingress"]}
    with fresh(place.stack.folder / "fresh", place.real is not None, models) as other:
        place.people.clone.git("push", "--quiet", other.stack.git_url, "main")
        other.settle()
        other.converge()
        return observe(other.road)


def differences(people: People, world: World, wanted: World) -> Iterator[str]:
    """Objects that are not as a fresh provisioning makes them, and those of nobody on the branch."""
    for team in (NOBODY, *sorted(people.present)):
        there, should = world.get(team, {}), wanted.get(team, {})
        for what in sorted(there.keys() | should.keys()):
            if there.get(what) != should.get(what):
                yield (
                    f"{team or 'the catalogue'}: {what} is {_short(there.get(what))} and should be "
                    f"{_short(should.get(what))}"
                )
    known = {NOBODY, strangers.NAME, *people.present, *people.gone}
    yield from (
        f"{team} is on no branch, and has {', '.join(world[team])}" for team in sorted(world.keys() - known)
    )


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 400 else f"{text[:400]}…"
