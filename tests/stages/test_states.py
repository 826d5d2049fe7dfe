"""Every cell of the table of states, through the real entry points: sweep, stages, push and HTTP answers.

The table is written down here once more, by itself: a cell that is changed in `shared/branch/states.py` alone
fails.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

import pytest

from shared import names
from shared.api import teams
from shared.branch import states
from shared.git import blob_id
from shared.marker import Marker
from shared.messaging.messages import AccessChange
from shared.requests.paths import DEFAULT_CATALOG_PATH
from shared.resources.actual import Product
from shared.stages.outgoing import access_change
from tests.fakes.app import Asked, FakeApp, catalog_text, path_of
from tests.fakes.clock import START
from tests.stages.road import arrive, drain, later, push, sweep, teams_in_force

OTHERS = ("bravo", "carol", "delta")
PATH, ELSEWHERE, FOLDER = (
    path_of("alpha"),
    "developer-requests/alpha/access.yaml",
    "tenant-access/config/alpha",
)
TODAY = START.date() + timedelta(days=10)
YESTERDAY, BEFORE_THAT, SOON = TODAY - timedelta(days=1), TODAY - timedelta(days=2), TODAY + timedelta(days=2)
#: What a request asks for when it is changed, to be found in the policy.
CHANGED = 5_432

#: What follows, by what the branch has (down) and what stands (across); `-` where files and marker cannot say
#: that together.
TABLE = """
             none  lost  unfinished in_force expired held   held_expired withdrawn unmanaged unreadable
valid        grant grant grant      grant    grant   grant  grant        grant     refuse    grant
expired      none  end   -          -        end     -      end          rest      end       end
new_end      none  -     end?       end?     end     end?   end          rest      -         end?
shortened    -     -     grant      grant?   -       grant? -            grant     -         grant?
invalid      none  keep  keep       keep     end     keep   end          rest      keep      keep
unreadable   none  keep  keep       keep     end     keep   end          rest      keep      keep
no_request   none  end?  end?       end?     end     end?   end          rest      end?      end?
gone         none  end?  end?       end?     end     end?   end          rest      end?      end?
no_catalogue none  keep  keep       keep     freeze  keep   freeze       freeze    keep      keep
no_tree      none  keep  keep       keep     freeze  keep   freeze       freeze    keep      keep
"""
_HEAD, *_ROWS = [line.split() for line in TABLE.strip().splitlines()]
CELLS = [
    (row[0], mark, what) for row in _ROWS for mark, what in zip(_HEAD, row[1:], strict=True) if what != "-"
]
#: What can be pushed: other rows need time to pass.
PUSHED = [
    cell
    for cell in CELLS
    if cell[0] not in ("expired", "new_end", "no_tree")
    and cell[1] in ("unfinished", "in_force", "unreadable")
]
PUSHED += [cell for cell in CELLS if cell[:2] in {("valid", mark) for mark in _HEAD}]


@dataclass(frozen=True)
class Seen:
    """What is there of alpha: whether its keys open anything, what its product says, whether it is as the
    changed request says.
    """

    live: bool
    readable: bool
    held: bool
    withdrawn: bool
    changed: bool
    product: bool
    secrets: bool


def seen(app: FakeApp) -> Seen:
    state = app.gateway.state
    product, subscription = state.products.get("team-alpha"), state.subscriptions.get("team-alpha")
    marker, policy = product.marker if product else None, state.policies.get("team-alpha")
    return Seen(
        live=subscription is not None and subscription.state == "active",
        readable=app.vault.value("alpha-primary-key") is not None,
        held=marker is not None and marker.held is not None,
        withdrawn=marker is not None and marker.withdrawn is not None,
        changed=policy is not None and str(CHANGED) in policy.text,
        product=product is not None,
        secrets="alpha-primary-key" in app.vault.names(),
    )


# ---------------------------------------------------------------------------------------------- what there is


async def a_world(mark: str, many: bool = False) -> FakeApp:
    """Four teams in force, of which alpha is brought to this mark; ten days later. `many`: others go with
    it.
    """
    app = await teams_in_force(*(OTHERS if mark == "none" else ("alpha", *OTHERS)))
    app.clock.advance(timedelta(days=10))
    if mark == "withdrawn":
        await push(app, {PATH: None})
        app.repository.commit({PATH: Asked().text()})
    elif mark == "lost":
        state = app.gateway.state
        del state.products["team-alpha"], state.subscriptions["team-alpha"], state.policies["team-alpha"]
        state.links.discard(("team-alpha", names.API))
    elif mark != "none":
        app.gateway.state.products["team-alpha"] = _marked(app.gateway.state.products["team-alpha"], mark)
    if many:
        app.repository.commit({path_of("bravo"): None, path_of("carol"): None})
    return app


def _marked(product: Product, mark: str) -> Product:
    assert product.marker is not None
    held = START + timedelta(days=9)
    marks: Mapping[str, Marker | None] = {
        "unfinished": product.marker.unfinished(),
        "in_force": product.marker,
        "expired": replace(product.marker, expires=YESTERDAY),
        "held": replace(product.marker, held=held),
        "held_expired": replace(product.marker, expires=YESTERDAY, held=held),
        "unmanaged": None,
        "unreadable": replace(product.marker, commit="", unreadable=frozenset({"commit", "expires"})),
    }
    return replace(product, marker=marks[mark], published=product.published and mark != "unfinished")


async def arrange(app: FakeApp, files: str, mark: str) -> None:
    """The branch comes to say this of alpha, without a word to the app."""
    repository = app.repository
    ends: dict[str, date] = {
        "expired": YESTERDAY,
        "new_end": BEFORE_THAT if "expired" in mark else YESTERDAY,
        "shortened": SOON,
    }
    if mark == "unreadable" and files == "new_end":
        product = app.gateway.state.products["team-alpha"]
        assert product.marker is not None
        app.gateway.state.products["team-alpha"] = replace(
            product, marker=replace(product.marker, unreadable=frozenset({"commit"}))
        )
    if files == "no_catalogue":
        repository.commit({DEFAULT_CATALOG_PATH: "models: []\n", PATH: Asked(tokens=CHANGED).text()})
    elif files == "no_tree":
        repository.delete_branch()
    elif files == "unreadable":
        repository.commit({PATH: None}, links={FOLDER: "elsewhere"})
    else:
        # The file came when its day had not passed.
        day = START.date() + timedelta(days=1) if files in ("expired", "new_end") else None
        repository.commit(_files(files, ends.get(files)), day=day)
    if mark == "withdrawn" and files == "expired":
        product = app.gateway.state.products["team-alpha"]
        assert product.marker is not None
        app.gateway.state.products["team-alpha"] = replace(
            product, marker=replace(product.marker, expires=YESTERDAY)
        )


def _files(files: str, ends: date | None) -> dict[str, str | bytes | None]:
    if files == "gone":
        return {PATH: None}
    if files == "no_request":
        return {PATH: None, ELSEWHERE: "oops\n"}
    text = Asked(tokens=CHANGED, expires=ends).text()
    return {PATH: text + ("oops: 1\n" if files == "invalid" else "")}


# --------------------------------------------------------------------------------------------------- who asks


async def stages(app: FakeApp) -> None:
    """Every message that could be about alpha reaches every stage, whatever queued it."""
    commit = app.repository.branch or "0" * 40
    files = app.repository.files()
    changes = [AccessChange(change="withdrawn", team="alpha", path=PATH, commit=commit)]
    for path in (PATH, ELSEWHERE):
        blob = blob_id(files[path][0]) if path in files else "0" * 40
        changes.append(AccessChange(change="requested", team="alpha", path=path, commit=commit, blob=blob))
    await app.bus.send(
        [access_change(app, change, f"m{number}", app.clock.now()) for number, change in enumerate(changes)]
    )
    await drain(app)


ASKERS = {"sweep": sweep, "stages": stages}


def expected(what: str, before: Seen, mark: str, many: bool) -> list[Seen]:
    """What may be there afterwards: an ending that the guard keeps leaves all as it was, but for the mark."""
    kept = before
    ended = replace(before, live=False, readable=False)
    match what:
        case "grant":
            return [Seen(True, True, False, False, True, True, True)]
        case "grant?" if not many:
            return [Seen(True, True, False, False, True, True, True)]
        case "end?" if many or mark == "held":
            # A stranger's product and one that is gone cannot say it, and one that was never finished is not
            # published for it.
            return [kept] if mark in ("lost", "unmanaged", "unfinished") else [replace(kept, held=True)]
        case "end" | "end?" if mark == "lost":
            return [replace(ended, secrets=False)]
        case "end" | "end?" if mark == "unmanaged":
            return [ended]
        case "end" | "end?":
            return [replace(ended, withdrawn=True, held=False)]
        case "freeze" if mark != "withdrawn":
            return [replace(ended, withdrawn=True, held=False)]
        case _:
            return [kept]


@pytest.mark.parametrize("many", [False, True], ids=["alone", "with others"])
@pytest.mark.parametrize("asker", ASKERS)
@pytest.mark.parametrize(("files", "mark", "what"), CELLS)
async def test_what_follows(files: str, mark: str, what: str, asker: str, many: bool) -> None:
    app = await a_world(mark, many and files != "no_tree")
    await arrange(app, files, mark)
    before = seen(app)
    await ASKERS[asker](app)
    assert seen(app) in expected(what, before, mark, many)


@pytest.mark.parametrize("many", [False, True], ids=["alone", "with others"])
@pytest.mark.parametrize("asker", ASKERS)
@pytest.mark.parametrize("mark", ["lost", "in_force"])
async def test_a_file_in_the_place_of_a_folder_hides_nothing(mark: str, asker: str, many: bool) -> None:
    """Unlike a link: nothing can be under it, so the team's own file is gone, and the guard counts that."""
    app = await a_world(mark, many)
    app.repository.commit({PATH: None, FOLDER: "elsewhere"})
    before = seen(app)
    await ASKERS[asker](app)
    assert seen(app) in expected("end?", before, mark, many)


@pytest.mark.parametrize(("files", "mark", "what"), [cell for cell in CELLS if cell[1] != "none"])
async def test_what_is_left_after_the_grace_period(files: str, mark: str, what: str) -> None:
    """Whatever ended is deleted then, and nothing else is; a stranger's product stays."""
    app = await a_world(mark)
    await arrange(app, files, mark)
    await sweep(app)
    for _ in range(2):
        await later(app, timedelta(days=8))
        await sweep(app)
    ends = what in ("end", "rest") or (what == "end?" and mark != "held")
    # A day that is brought forward to the day after tomorrow has passed by then.
    ends = ends or files == "shortened"
    assert seen(app).secrets is not ends
    assert seen(app).product is (
        mark == "unmanaged" or (mark != "lost" and not ends) or (what == "grant" and not ends)
    )


@pytest.mark.parametrize("many", [False, True], ids=["alone", "with others"])
@pytest.mark.parametrize(("files", "mark", "what"), PUSHED)
async def test_what_follows_from_a_push(files: str, mark: str, what: str, many: bool) -> None:
    """Together with the sweeps that it leaves things to."""
    app = await a_world(mark, many)
    before = seen(app)
    head = app.repository.branch
    await arrange(app, files, mark)
    await arrive(app, head)
    assert seen(app) in expected(what, before, mark, many)


#: What a team has, by what follows.
ACCESS = {
    "grant": "granted",
    "grant?": "granted",
    "keep": "kept",
    "end": "ended",
    "end?": "ended",
    "rest": "ended",
    "freeze": "frozen",
    "none": "none",
    "refuse": "not_ours",
}


@pytest.mark.parametrize("many", [False, True], ids=["alone", "with others"])
@pytest.mark.parametrize(("files", "mark", "what"), [cell for cell in CELLS if cell[0] != "no_tree"])
async def test_what_people_are_told(files: str, mark: str, what: str, many: bool) -> None:
    app = await a_world(mark, many)
    await arrange(app, files, mark)
    told = ACCESS[what]
    if what.endswith("?") and (many or (mark == "held" and what == "end?")):
        told = "held" if what == "end?" else "kept"
    if mark == "unmanaged" and what == "keep":
        told = "not_ours"
    one = await teams.team(app, "alpha", teams.Audience(None))
    every = {record.team: record for record in (await teams.teams(app, teams.Audience(None))).teams}
    if mark == "none" and files in ("gone", "unreadable"):
        assert (one, "alpha" in every) == (None, False)
        return
    assert one is not None
    assert (one.access, every["alpha"].access) == (told, told)
    assert one.conditions == every["alpha"].conditions or mark == "none"


#: What a newcomer asks for: it is left when nothing of alpha's counts, neither what it has nor what it asks
#: for.
LEFT = 6_000


@pytest.mark.parametrize(
    ("files", "mark", "what"), [cell for cell in CELLS if cell[0] not in ("no_catalogue", "no_tree")]
)
async def test_what_is_left_for_a_newcomer(files: str, mark: str, what: str) -> None:
    """The account of a model with a capacity asks too: alpha counts until its access has ended."""
    app = await a_world(mark)
    await arrange(app, files, mark)
    capacity = len(OTHERS) * Asked().tokens + LEFT
    limits = f"    maxTokensPerMinute: {Asked().tokens}\n    capacity: {capacity}\n"
    catalog = catalog_text().replace("    maxTokensPerMinute: 100000\n", limits)
    app.repository.commit(
        {DEFAULT_CATALOG_PATH: catalog, path_of("zulu"): Asked(team="zulu", tokens=LEFT).text()}
    )
    for _ in range(3):
        await sweep(app)
        app.clock.advance(timedelta(minutes=1))
    counts = (
        what in ("grant", "grant?", "refuse")
        or (what == "keep" and mark != "lost")
        or (what == "end?" and mark == "held")
    )
    if mark == "unmanaged":
        # What a stranger's product grants counts while a file of alpha's lies beside it.
        counts = files not in ("gone", "unreadable")
    zulu = app.gateway.state.subscriptions.get("team-zulu")
    assert (zulu is not None and zulu.state == "active") is not counts


# ------------------------------------------------------------------------------------------ every cell counts

#: What is put in the place of a cell to see whether anybody would notice. Where there is nothing, nothing can
#: be taken away; and what a stranger's product refuses, its stage refuses.
OTHERWISE = {
    "grant": "keep",
    "grant?": "keep",
    "keep": "end",
    "end": "keep",
    "end?": "end",
    "rest": "keep",
    "freeze": "keep",
}


@pytest.mark.parametrize(
    ("files", "mark", "what"), [cell for cell in CELLS if cell[2] not in ("none", "refuse")]
)
async def test_each_cell_is_noticed(
    files: str, mark: str, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With another word in one cell, something else happens: at once, or when the grace period has ended."""

    async def story(many: bool) -> list[Seen]:
        app = await a_world(mark, many and files != "no_tree")
        await arrange(app, files, mark)
        await sweep(app)
        told = [seen(app)]
        await later(app, timedelta(days=8))
        await sweep(app)
        return [*told, seen(app)]

    many = what == "end?"
    right = await story(many)
    instead = "rest" if (what, mark) == ("freeze", "withdrawn") else OTHERWISE[what]
    cells: dict[Any, Any] = dict(states._TABLE)
    row = list(cells[files])
    row[states.MARKS.index(mark)] = instead
    monkeypatch.setattr(states, "_TABLE", {**cells, files: tuple(row)})
    assert await story(many) != right
