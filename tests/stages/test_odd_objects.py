"""One odd object, of a team or of a stranger, costs at most its own team: everybody else's sweep, push and
answers are as without it.

`MERGEKEY_THOROUGH=1` tries 500 of each kind instead of 25.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, TypeVar

from hypothesis import example, given, settings
from hypothesis import strategies as st

from functions.operators import as_json, to_json
from shared.api import teams
from shared.api.records import Offer
from shared.marker import Marker, parse_marker
from shared.messaging.messages import read_envelope
from shared.messaging.outcomes import Push
from shared.messaging.routes import TOPIC
from shared.names import CATALOG_TEAM
from shared.requests.paths import DEFAULT_CATALOG_PATH
from shared.resources.actual import ActualBackend, Product, SecretVersion, Subscription
from shared.resources.key_slots import EXPOSED
from shared.resources.workspaces import marker_annotations
from shared.stages.comparison import unsettled_teams
from shared.stages.settlement import settle_push, start_sweep
from tests.fakes.app import GPU, REPOSITORY, Asked, FakeApp, catalog_text, path_of
from tests.fakes.cluster import Kept as Applied
from tests.fakes.projects import Kept as KeptProject
from tests.fakes.vault import Kept as KeptSecret
from tests.stages.asking import EVERYBODY
from tests.stages.road import a_platform, later, push

OTHERS = ("bravo", "carol")
SOON = timedelta(seconds=4)
SECOND = "developer-requests/bravo/access.yaml"
#: The three tests here share the cases of one.
CASES = settings(max_examples=settings().max_examples // 3)
Change = Callable[[FakeApp], None]
R = TypeVar("R")


async def _a_platform_with_teams() -> FakeApp:
    """Three teams with everything; somebody has taken the link of bravo away, which is to be repaired. What
    is in force decides about bravo and carol: the three have all that there is of a model, delta asks for
    more of it, and bravo has a second file.
    """
    app = await a_platform()
    await push(
        app, {DEFAULT_CATALOG_PATH: catalog_text().replace("100000\n", "30000\n    capacity: 30000\n", 1)}
    )
    teams = (
        Asked(dedicated={"phi-4": GPU}, playground=True),
        *(Asked(team=team, playground=True) for team in OTHERS),
    )
    await push(app, {path_of(asked.team): asked.text() for asked in teams})
    await later(app, timedelta(minutes=30))
    await push(app, {path_of("delta"): Asked(team="delta").text(), SECOND: Asked(team="bravo").text()})
    assert {problem.reason for problem in app.reports.verdicts[-1].problems} == {
        "AboveCapacity",
        "DuplicateTeam",
    }
    app.gateway.state.links.discard(("team-bravo", "ai"))
    app.calls.forget()
    app.bus.sent.clear()
    return app


_made: list[FakeApp] = []


async def _app(odd: Odd | None = None) -> FakeApp:
    """A copy of the same for everybody, with the odd object in it."""
    if not _made:
        _made.append(await _a_platform_with_teams())
    app = deepcopy(_made[0])
    if odd is not None:
        odd.change(app)
    return app


_usual_results: dict[str, Any] = {}


async def _usual(what: str, of: Callable[[FakeApp], Awaitable[R]]) -> R:
    """What comes of it without the odd object: the same each time."""
    if what not in _usual_results:
        _usual_results[what] = await of(await _app())
    found: R = _usual_results[what]
    return found


# What is odd


@dataclass(frozen=True)
class Odd:
    """`what` is shown when a case fails. `shared`: the object is everybody's, and says that it is not
    ours.
    """

    what: str
    change: Change
    shared: bool = False

    def __repr__(self) -> str:
        return self.what


#: What is put into texts that were right before. JSON carries halves of characters, too.
ODDITIES = [
    "²",
    "9" * 25,
    "9999-12-31",
    "0000-00-00",
    "9999-12-31T23:59:59Z",
    "\0",
    "\r\n",
    "\x1b[2J",
    "\ud800",
    "; ",
    ";",
    ":",
    "/",
    " ",
]
ODDITIES += [
    "managed by mergekey; repo ",
    "; team ",
    "; team bravo",
    "; expires 2020-01-01",
    "; held x",
    "; withdrawn ",
    "; rotated x",
]
ODDITIES += [
    path_of("bravo"),
    path_of("delta"),
    SECOND,
    "x" * 5000,
    "ß",
    "🗝",
    "٣",
    "-",
    "--",
    "A",
    "'",
    '"',
    "<",
    "%00",
    "{",
    "\u202e",
    "0" * 40,
    "null",
]
odd_texts = st.one_of(st.text(st.characters(), max_size=40), st.sampled_from(ODDITIES))


@st.composite
def _mutated(draw: st.DrawFn, text: str) -> str:
    """The text, cut, with a piece of it repeated, replaced or turned around, or with something put in: up to
    three times.
    """
    for _ in range(draw(st.integers(1, 3))):
        first, last = sorted((draw(st.integers(0, len(text))), draw(st.integers(0, len(text)))))
        piece = text[first:last]
        kept = draw(st.sampled_from(["", piece, piece * 3, piece.swapcase(), piece[::-1]]))
        text = text[:first] + kept + draw(st.one_of(st.just(""), odd_texts)) + text[last:]
    return text


def _fields(text: str) -> st.SearchStrategy[str]:
    """One whole field of a marker is another, is gone, or stands there twice."""
    parts = text.split("; ")
    named = st.tuples(
        st.integers(0, len(parts) - 1),
        odd_texts,
        st.sampled_from(["{name} {odd}", "{old}; {old}", "{odd}", "{old}; {odd}"]),
    )

    def put(drawn: tuple[int, str, str]) -> str:
        which, odd, form = drawn
        name = parts[which].split(" ")[0]
        return "; ".join(
            [*parts[:which], form.format(name=name, old=parts[which], odd=odd), *parts[which + 1 :]]
        )

    return named.map(put)


def _any_text(right: str) -> st.SearchStrategy[str]:
    return st.one_of(st.text(st.characters(), max_size=200), _mutated(right), _fields(right))


def _marker(team: str = "alpha") -> str:
    return str(Marker(REPOSITORY, team, path_of(team), "0123abcd" * 5, "9f" * 32))


def _on_product(text: str) -> Odd:
    def change(app: FakeApp) -> None:
        app.gateway.state.products["team-alpha"] = replace(
            app.gateway.state.products["team-alpha"], marker=parse_marker(text)
        )

    return Odd(f"product of alpha: {text!r}", change)


def _on_backend(text: str) -> Odd:
    name = "team-alpha--phi-4"

    def change(app: FakeApp) -> None:
        app.gateway.state.backends[name] = replace(
            app.gateway.state.backends[name], marker=parse_marker(text)
        )

    return Odd(f"backend of alpha: {text!r}", change)


def _on_api(text: str) -> Odd:
    def change(app: FakeApp) -> None:
        app.gateway.state.apis["ai"] = replace(app.gateway.state.apis["ai"], marker=parse_marker(text))

    marker = parse_marker(text)
    ours = Marker(REPOSITORY, CATALOG_TEAM, "", "").owns(marker)
    return Odd(f"API: {text!r}", change, shared=not ours)


def _on_project(text: str) -> Odd:
    def change(app: FakeApp) -> None:
        assert app.projects is not None
        app.projects.kept["team-alpha"].marker = parse_marker(text)

    return Odd(f"project of alpha: {text!r}", change)


def _displayed(text: str) -> Odd:
    def change(app: FakeApp) -> None:
        app.gateway.state.subscriptions["team-alpha"] = replace(
            app.gateway.state.subscriptions["team-alpha"], display_name=text
        )

    return Odd(f"subscription of alpha: {text!r}", change)


def _shown(text: str) -> Odd:
    def change(app: FakeApp) -> None:
        app.gateway.state.products["team-alpha"] = replace(
            app.gateway.state.products["team-alpha"], display_name=text
        )

    return Odd(f"product of alpha is shown as {text!r}", change)


TAGS = (
    "team",
    "repository",
    "reader",
    "withdrawn",
    "fingerprint",
    "commit",
    "managed-by",
    EXPOSED,
    "rotated",
    "ß\ud800",
)


def _tagged(secret: str, tag: str, text: str) -> Odd:
    def change(app: FakeApp) -> None:
        versions = app.vault.kept[secret].versions
        versions[0] = replace(versions[0], tags={**versions[0].tags, tag: text})

    return Odd(f"tag {tag!r} of {secret}: {text!r}", change)


def _annotated(name: str, text: str) -> Odd:
    def change(app: FakeApp) -> None:
        assert app.cluster is not None
        app.cluster.state.namespaces["team-alpha"].manifest["metadata"]["annotations"][name] = text

    return Odd(f"annotation {name!r} of alpha's namespace: {text!r}", change)


def _labelled(kind: str, text: str) -> Odd:
    def change(app: FakeApp) -> None:
        assert app.cluster is not None
        app.cluster.state.objects["team-alpha", kind, "phi-4"].manifest["metadata"]["labels"][
            "app.kubernetes.io/managed-by"
        ] = text

    return Odd(f"label of alpha's {kind}: {text!r}", change)


ANNOTATIONS = [
    *marker_annotations(Marker(REPOSITORY, "alpha", "", "")),
    "mergekey.dev/rotated",
    "mergekey.dev/",
    "mergekey.dev/\ud800",
    "x",
]
RIGHT = [
    str(REPOSITORY),
    "alpha",
    path_of("alpha"),
    "0123abcd" * 5,
    "2026-03-02T09:00:00Z",
    "5f8d0d55-1c3e-4f7a-9b5e-2a6c8e4d7b10",
    "mergekey",
]
values = st.sampled_from(RIGHT).flatmap(_any_text)
SECRETS = ("alpha-primary-key", "alpha-secondary-key", "alpha-endpoint")
own_objects = st.one_of(
    _any_text(_marker()).map(_on_product),
    _any_text(_marker()).map(_on_backend),
    _any_text(_marker(CATALOG_TEAM)).map(_on_api),
    _any_text(_marker()).map(_on_project),
    _any_text(f"mergekey/{REPOSITORY}/alpha").map(_displayed),
    _any_text("Team Alpha").map(_shown),
    st.builds(_tagged, st.sampled_from(SECRETS), st.sampled_from(TAGS), values),
    st.builds(_annotated, st.sampled_from(ANNOTATIONS), values),
    st.builds(_labelled, st.sampled_from(["Workspace", "HTTPRoute"]), values),
)


def _foreign_product(name: str, team: str) -> Odd:
    def change(app: FakeApp) -> None:
        app.gateway.state.products[name] = Product(
            name, '"x"', "X", True, parse_marker(_marker(team)), subscription_required=False
        )
        app.gateway.state.links.add((name, "ai"))

    return Odd(f"foreign product {name!r} of {team!r}", change)


def _foreign_backend(name: str, team: str) -> Odd:
    def change(app: FakeApp) -> None:
        app.gateway.state.backends[name] = ActualBackend(
            name, '"x"', "https://x.example", parse_marker(_marker(team))
        )

    return Odd(f"foreign backend {name!r} of {team!r}", change)


def _foreign_subscription(name: str, team: str) -> Odd:
    def change(app: FakeApp) -> None:
        shown = f"mergekey/{REPOSITORY}/{team}"
        app.gateway.state.subscriptions[name] = Subscription(name, '"x"', shown, "another", "u", "active")
        app.gateway.state.keys[name] = ["one", "two"]

    return Odd(f"foreign subscription {name!r} of {team!r}", change)


def _foreign_secret(name: str, team: str) -> Odd:
    def change(app: FakeApp) -> None:
        tags = {"managed-by": "mergekey", "repository": str(REPOSITORY), "team": team, "reader": team}
        version = SecretVersion(name, "0" * 32, True, app.clock.now(), tags)
        app.vault.kept[name] = KeptSecret([version], {version.version: "theirs"})
        app.roles.assigned.add((name, team))

    return Odd(f"foreign secret {name!r} of {team!r}", change)


def _foreign_namespace(name: str, team: str) -> Odd:
    """With a copy of alpha's workspace and route in it."""

    def change(app: FakeApp) -> None:
        assert app.cluster is not None
        annotations = marker_annotations(Marker(REPOSITORY, team, path_of("alpha"), "0" * 40, "9f"))
        manifest = {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": name, "annotations": annotations},
        }
        app.cluster.state.namespaces[name] = Applied(manifest, "1", app.clock.now())
        for kind in ("Workspace", "HTTPRoute"):
            copy = deepcopy(app.cluster.state.objects["team-alpha", kind, "phi-4"])
            app.cluster.state.objects[name, kind, "phi-4"] = replace(copy, created=app.clock.now())

    return Odd(f"foreign namespace {name!r} of {team!r}", change)


def _foreign_project(name: str, team: str) -> Odd:
    def change(app: FakeApp) -> None:
        assert app.projects is not None
        assert app.project_roles is not None
        app.projects.kept[name] = KeptProject("X", parse_marker(_marker(team)), "Creating", app.clock.now())
        app.project_roles.assigned.add((name, team))

    return Odd(f"foreign project {name!r} of {team!r}", change)


ODD_TEAMS = [
    "Bad Name",
    "9abc",
    "ALPHA2",
    "x_y",
    "team-x",
    "-",
    "",
    "a--b",
    "x" * 41,
    "platform",
    CATALOG_TEAM,
    "alpha",
    "bravo",
    "carol",
    "delta",
]
odd_teams = st.one_of(st.sampled_from(ODD_TEAMS), st.text(st.characters(), max_size=20), _mutated("alpha"))
MAKERS = [
    _foreign_product,
    _foreign_backend,
    _foreign_subscription,
    _foreign_secret,
    _foreign_namespace,
    _foreign_project,
]
FORMS = [
    "team-{}",
    "team-{}--x",
    "{}-primary-key",
    "{}-endpoint",
    "{}",
    "team-alpha--{}",
    "shared--{}",
    "copy-of-{}",
]


@st.composite
def _foreign(draw: st.DrawFn) -> Odd:
    """Of any team, under any name but one that another team's object has."""
    team = draw(odd_teams)
    name = draw(st.sampled_from(FORMS)).format(draw(st.one_of(st.just(team), odd_teams)))
    if name == "team-alpha" or _is_theirs(f"{name}--"):
        name = f"copy-of-{name}"
    return draw(st.sampled_from(MAKERS))(name, team)


odd_objects = st.one_of(own_objects, _foreign())


# What the others see


def _of_others(app: FakeApp) -> set[str]:
    """What was written for the other teams and told to their stages."""
    systems = ("gateway", "vault", "roles", "cluster", "projects")
    written = {
        str(call)
        for call in app.calls.made
        if call.writes and call.system in systems and _is_theirs(call.target)
    }
    return written | {
        f"{sent.session} {read_envelope(sent.body)['data']['change']}"
        for sent in app.bus.sent
        if _is_change(sent.session, sent.entity)
    }


def _is_theirs(target: str) -> bool:
    """By the object's own name, before which some calls tell its kind."""
    return any(word.startswith((f"team-{team}", f"{team}-")) for word in target.split(" ") for team in OTHERS)


def _is_change(session: str | None, entity: str) -> bool:
    return session in OTHERS and entity == TOPIC


async def _swept(app: FakeApp, *, deep: bool) -> set[str]:
    await start_sweep(app, "a test", deep)
    await later(app, SOON)
    return _of_others(app)


async def _pushed(app: FakeApp, files: dict[str, str | bytes | None]) -> set[str]:
    before = app.repository.branch
    app.repository.commit(files)
    status, text = await settle_push(app, Push("odd", before))
    assert status == 202
    assert text != "everything is looked at in a moment", "it was taken in without trouble"
    await later(app, SOON)
    return _of_others(app)


def _without_alphas_share(offer: Offer) -> object:
    shares = offer.grants.shares or ()
    granted = offer.grants.granted - sum(
        each.tokens_per_minute or 0 for each in shares if each.team == "alpha"
    )
    others = tuple(each for each in shares if each.team in OTHERS)
    return to_json(
        replace(offer, overcommitted=False, grants=replace(offer.grants, granted=granted, shares=others))
    )


async def _answers(app: FakeApp, *, broken: bool) -> dict[str, object]:
    """What is answered about the others. What is answered about the odd one's team can be sent, too;
    `broken`: its file is. Alpha's share of a capacity, and the sum that contains it, are alpha's own.
    """
    if broken:
        app.repository.commit({path_of("alpha"): b"oops"})
    listed = [
        as_json(200, to_json(each)).get_body()
        for each in (await teams.teams(app, EVERYBODY)).teams
        if each.team in OTHERS
    ]
    as_json(200, to_json(await teams.teams(app, EVERYBODY))).get_body()
    if (alpha := await teams.team(app, "alpha", EVERYBODY)) is not None:
        as_json(200, to_json(alpha)).get_body()
    one = to_json(await teams.team(app, "carol", EVERYBODY))
    models = await teams.models(app, with_shares=True)
    as_json(200, to_json(models)).get_body()
    unsettled = await unsettled_teams(app, app.clock.now())
    return {
        "listed": [json.loads(each) for each in listed],
        "carol": one,
        "models": [_without_alphas_share(model) for model in models.models],
        "unsettled": unsettled and unsettled & set(OTHERS),
    }


@CASES
@given(odd_objects, st.booleans())
async def test_a_sweep_writes_the_same_for_all_others(odd: Odd, deep: bool) -> None:
    usual = await _usual(f"sweep {deep}", lambda app: _swept(app, deep=deep))
    assert {"link_product team-bravo", "bravo requested"} <= usual
    found = await _swept(await _app(odd), deep=deep)
    if not odd.shared:
        assert found == usual


PUSHES: dict[str, dict[str, str | bytes | None]] = {
    "of carol": {
        path_of("carol"): Asked(
            team="carol", playground=True, models=("gpt-4.1", "text-embedding-3-large")
        ).text()
    },
    "that removes alpha": {path_of("alpha"): None},
    "of a second file of alpha": {"developer-requests/alpha/access.yaml": Asked().text()},
    "that breaks alpha's file": {path_of("alpha"): b"oops"},
}


@CASES
@given(odd_objects, st.sampled_from(sorted(PUSHES)))
async def test_a_push_is_taken_in_and_writes_the_same_for_all_others(odd: Odd, which: str) -> None:
    usual = await _usual(which, lambda app: _pushed(app, PUSHES[which]))
    assert ("put_product_policy team-carol" in usual) == (which == "of carol")
    found = await _pushed(await _app(odd), PUSHES[which])
    if not odd.shared:
        assert found == usual


#: Of a newer version, and without a digest: what it reserves is unknown, and counts with the ceiling.
NEWER = f"{str(_marker()).rpartition('; ')[0]}; "


@CASES
@given(odd_objects, st.booleans())
@example(_on_product(NEWER), False)
async def test_what_is_answered_about_all_others_is_the_same(odd: Odd, broken: bool) -> None:
    """Where alpha's file is broken, what stands of it is told by what is there."""
    usual = await _usual(f"answers {broken}", lambda app: _answers(app, broken=broken))
    found = await _answers(await _app(odd), broken=broken)
    if not odd.shared:
        assert found == usual
