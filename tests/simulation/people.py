"""What people do to the branch: requests come, change, move, go, come back and go wrong; the catalogue too;
history is rewritten.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

from shared.branch.withdrawal_guard import approved_teams
from shared.names import CATALOG_TEAM
from shared.requests.paths import DEFAULT_CATALOG_PATH
from tests.fakes.app import GPU, LARGER_GPU, OTHER_READERS, PATHS, READERS, Asked, path_of
from tests.fakes.clock import START
from tests.fakes.repository import SYMBOLIC_LINK, Files
from tests.simulation.account import granted
from tests.simulation.catalogs import CATALOGS, CEILING, COMPLETE, LIMIT, TIGHT
from tests.simulation.scene import Scene

TEAMS = ("alpha", "bravo", "carol", "delta", "echo", "foxtrot")
#: The number of teams in the beginning.
FEWEST, MOST = 3, 5
Changes = dict[str, str | bytes | None]

BROKEN = (
    b"team: {name: ",
    b"models: {foundry: [{name: no-such-model}]}\n",
    b"",
    b"team: &a {name: alpha}\nmodels: *a\n",
    b"\xff\xfe",
)
#: Of an access that ends by itself: at the end of the day on which all stories begin, and nearly end.
LAST_DAY = START.date()
_TIGHT = tuple(text for text in CATALOGS if TIGHT in text)
#: Over already when it is written: a slip of the pen.
SLIP = LAST_DAY - timedelta(days=1)
_TRAILER = re.compile(r"Allow-Withdrawals: [a-z]+(?:, [a-z]+)*")
#: How a commit may say it: by itself, or as a squash of several does.
_MESSAGES = (
    "Close teams\n\n{}\n",
    "Close teams (#7)\n\n* one\n\n{}\n\n* another\n\nSigned-off-by: Ada <ada@contoso.com>\n",
)


@dataclass(frozen=True, slots=True)
class Push:
    """One push, as GitHub tells of it. `before` is None for a new branch; `paths` are those that it touched;
    `allows`: a commit gives leave.
    """

    delivery: str
    before: str | None
    place: int
    paths: frozenset[str]
    allows: bool = False


@dataclass
class People:
    """`pushes` are all so far, `said` what each team's file last said when it was right, `lost` the last
    commit of a deleted branch.

    `compete`: there is never enough for all, as long as things happen.
    """

    scene: Scene
    pushes: list[Push] = field(default_factory=list)
    said: dict[str, Asked] = field(default_factory=dict)
    lost: str | None = None
    compete: bool = False

    def begin(self) -> Push:
        chance = self.scene.chance
        teams = chance.sample(TEAMS, chance.randint(FEWEST, MOST))
        return self.push(
            {
                DEFAULT_CATALOG_PATH: self._some_of(COMPLETE),
                **{path_of(team): self.ask(team) for team in teams},
            }
        )

    def act(self) -> Push | None:
        """Something happens on the branch; None when it cannot, as the branch is."""
        name = self.scene.chance.choice(NAMES)
        pushed = DEEDS[name](self)
        if pushed is not None:
            self.scene.counts[f"event: {name}"] += 1
            self.scene.note(
                "people", f"{name}: {', '.join(sorted(pushed.paths)) or 'no file'} ({pushed.delivery})"
            )
        return pushed

    # --------------------------------------------------------------------------------------------- the branch

    def push(self, files: Changes, message: str = "changed\n", links: dict[str, str] | None = None) -> Push:
        """Of a branch that was deleted, its last commit comes back with this."""
        before, old = self.scene.repository.branch, self.scene.repository.files()
        if before is None and self.lost is not None:
            self.scene.repository.reset(self.lost)
        # Git has no file under a link, nor under another file.
        hiding = {
            path
            for path in self.scene.repository.files()
            if any(each.startswith(f"{path}/") and files[each] is not None for each in files)
        }
        self.scene.repository.commit({**dict.fromkeys(hiding), **files}, links, message)
        return self._pushed(before, old)

    def _pushed(self, before: str | None, old: Files) -> Push:
        repository = self.scene.repository
        repository.note()
        new = repository.files()
        paths = frozenset(path for path in {*old, *new} if old.get(path) != new.get(path))
        allows = any(approved_teams(message) for message in repository.messages_since(before))
        push = Push(f"d{len(self.pushes)}", before, len(repository.history) - 1, paths, allows)
        self.pushes.append(push)
        return push

    def links(self) -> list[str]:
        return [path for path, (_, mode) in self.scene.repository.files().items() if mode == SYMBOLIC_LINK]

    def homes(self) -> dict[str, list[str]]:
        """The files of each team on the branch."""
        found: dict[str, list[str]] = {}
        for path in self.scene.repository.files():
            team = PATHS.team_of(path)
            if team is not None:
                found.setdefault(team, []).append(path)
        return found

    def some_team(self, count: int = 1) -> list[str]:
        """Teams that have a file; none when there are too few."""
        present = sorted(self.homes())
        return self.scene.chance.sample(present, count) if len(present) >= count else []

    def ask(self, team: str) -> str:
        """A request like the team's last one, or another."""
        chance = self.scene.chance
        asked = self.said.get(team, Asked(team=team))
        for change in chance.sample(_WISHES, chance.randint(1, 2)):
            asked = change(self, asked)
        self.said[team] = asked
        return asked.text()

    # -------------------------------------------------------------------------------------------- one request

    def add(self) -> Push | None:
        absent = sorted(set(TEAMS) - set(self.homes()))
        if not absent:
            return None
        team = self.scene.chance.choice(absent)
        return self.push({path_of(team): self.ask(team)})

    def change(self) -> Push | None:
        teams = self.some_team(self.scene.chance.choice((1, 1, 2)))
        return self.push({self.homes()[team][0]: self.ask(team) for team in teams}) if teams else None

    def change_of(self, team: str) -> Push | None:
        """A team asks for something else, goes, or comes back; the catalogue becomes another."""
        if team not in TEAMS:
            return self.other_catalog() if team == CATALOG_TEAM else None
        paths = self.homes().get(team, [path_of(team)])
        goes = team in self.homes() and self.scene.chance.random() < 0.3
        return self.push(dict.fromkeys(paths) if goes else {paths[0]: self.ask(team)})

    def _some_of(self, catalogs: Sequence[str]) -> str:
        return self.scene.chance.choice(_TIGHT if self.compete else catalogs)

    def tight_catalog(self) -> Push:
        """Of one model there is not enough for all."""
        return self.push({DEFAULT_CATALOG_PATH: self.scene.chance.choice(_TIGHT)})

    def rival(self, team: str) -> Push | None:
        """Another team, whose turn is earlier, asks for all that is left by what was written so far; None
        where nobody can.
        """
        catalog, taken = self.scene.repository.files().get(DEFAULT_CATALOG_PATH, (b"", ""))[0], self._taken()
        others = [
            other for other in sorted(self.homes()) if other in taken and (other < team or team not in taken)
        ]
        left = LIMIT - sum(taken.values())
        if TIGHT.encode() not in catalog or not others or left <= 0:
            return None
        other = self.scene.chance.choice(others)
        tokens = min(taken[other] + left, CEILING)
        self.said[other] = replace(
            self.said.get(other, Asked(team=other)), models=("gpt-4.1",), tokens=tokens, expires=None
        )
        return self.push({self.homes()[other][0]: self.said[other].text()})

    def _taken(self) -> dict[str, int]:
        """What the policies grant of it, by team."""
        state, found = self.scene.app.gateway.state, dict[str, int]()
        for name, product in state.products.items():
            if name in state.policies and product.marker is not None and product.marker.withdrawn is None:
                found[product.marker.team] = granted(state.policies[name].text).get("gpt-4.1", 0)
        return found

    def other_readers(self, team: str) -> Push:
        """Another group may read the team's keys."""
        asked = self.said.get(team, Asked(team=team))
        self.said[team] = replace(asked, readers=READERS if asked.readers == OTHER_READERS else OTHER_READERS)
        return self.push({self.homes().get(team, [path_of(team)])[0]: self.said[team].text()})

    def last_word(self, team: str) -> Push:
        """Another group after all, or none of it."""
        goes = team in self.homes() and self.scene.chance.random() < 0.3
        return self.push(dict.fromkeys(self.homes()[team])) if goes else self.other_readers(team)

    def change_twice(self) -> Push | None:
        """Two pushes within a second, to one team; GitHub tells of both."""
        [*teams] = self.some_team()
        if not teams:
            return None
        path = self.homes()[teams[0]][0]
        self.push({path: self.ask(teams[0])})
        return self.push({path: self.ask(teams[0])})

    def remove(self) -> Push | None:
        teams = self.some_team()
        return self.push(dict.fromkeys(self.homes()[teams[0]])) if teams else None

    def move(self) -> Push | None:
        """To another folder that is read."""
        teams = self.some_team()
        if not teams:
            return None
        [old, *_] = self.homes()[teams[0]]
        new = next(path for path in places(teams[0]) if path != old)
        return self.push({old: None, new: self.scene.repository.files()[old][0]})

    def rename(self) -> Push | None:
        """One team goes, another comes, in one push."""
        teams, absent = self.some_team(), sorted(set(TEAMS) - set(self.homes()))
        if not teams or not absent:
            return None
        gone = dict.fromkeys(self.homes()[teams[0]])
        return self.push({**gone, path_of(absent[0]): self.ask(absent[0])})

    def swap(self) -> Push | None:
        """Two teams ask for what the other one had."""
        teams = self.some_team(2)
        if not teams:
            return None
        one, other = teams
        old = {team: self.said.get(team, Asked(team=team)) for team in teams}
        self.said[one], self.said[other] = replace(old[other], team=one), replace(old[one], team=other)
        return self.push({self.homes()[team][0]: self.said[team].text() for team in teams})

    def expire(self) -> Push | None:
        """A last day that is over already: nothing ends by it."""
        teams = self.some_team()
        if not teams:
            return None
        asked = replace(self.said.get(teams[0], Asked(team=teams[0])), expires=SLIP)
        return self.push({self.homes()[teams[0]][0]: asked.text()})

    def spoil(self) -> Push | None:
        """Somebody misspells a request: one whose access will end by itself, if there is any."""
        ending = sorted(
            team for team in self.homes() if team in self.said and self.said[team].expires == LAST_DAY
        )
        teams = [self.scene.chance.choice(ending)] if ending else self.some_team()
        return self.push({self.homes()[teams[0]][0]: self.scene.chance.choice(BROKEN)}) if teams else None

    def mend(self) -> Push | None:
        """Every file says again what it last said rightly; second files go."""
        return self.push(self.mended())

    def mended(self) -> Changes:
        changes: Changes = {}
        for team, paths in self.homes().items():
            changes |= dict.fromkeys(paths[1:]) | {paths[0]: self.said.get(team, Asked(team=team)).text()}
        for link in self.links():
            hidden = {link.rpartition("/")[2]} & (set(TEAMS) - self.homes().keys())
            changes |= {link: None} | {
                path_of(team): self.said.get(team, Asked(team=team)).text() for team in hidden
            }
        return changes

    def second_file(self) -> Push | None:
        teams = [team for team, paths in self.homes().items() if len(paths) == 1]
        if not teams:
            return None
        team = self.scene.chance.choice(sorted(teams))
        new = next(path for path in places(team) if path not in self.homes()[team])
        return self.push({new: replace(self.said.get(team, Asked(team=team)), tokens=4_321).text()})

    def link(self) -> Push | None:
        """A link in the place of a team's folder."""
        teams = [team for team in self.some_team() if self.homes()[team] == [path_of(team)]]
        return (
            self.push({path_of(teams[0]): None}, links={path_of(teams[0]).rpartition("/")[0]: "elsewhere"})
            if teams
            else None
        )

    def link_elsewhere(self) -> Push | None:
        """One in the place of a whole folder of requests that has none: it hides nothing of the others."""
        root = "developer-requests"
        used = any(path == root or path.startswith(f"{root}/") for path in self.scene.repository.files())
        return None if used else self.push({}, links={root: "elsewhere"})

    def junk(self) -> Push | None:
        """A team's file goes, and what is no request lies at another of its paths."""
        teams = self.some_team()
        if not teams:
            return None
        free = [path for path in places(teams[0]) if path not in self.homes()[teams[0]]]
        return self.push({**dict.fromkeys(self.homes()[teams[0]]), self.scene.chance.choice(free): "notes\n"})

    def bring_forward(self) -> Push | None:
        """The last days of some teams become today's, or tomorrow's: how many, the guard decides."""
        teams = self.some_team(self.scene.chance.choice((1, 2, 3)))
        day = LAST_DAY + timedelta(days=self.scene.chance.choice((0, 1)))
        self.said |= {team: replace(self.said.get(team, Asked(team=team)), expires=day) for team in teams}
        return self.push({self.homes()[team][0]: self.said[team].text() for team in teams}) if teams else None

    def one_of_two(self) -> Push | None:
        """One of a team's two files goes, whichever."""
        crowded = sorted(team for team, paths in self.homes().items() if len(paths) > 1)
        return self.push({self.scene.chance.choice(self.homes()[crowded[0]]): None}) if crowded else None

    # ----------------------------------------------------------------------------------- when all is peaceful

    def come_back(self, _: frozenset[str]) -> Push:
        """All who are gone; and whose access is over asks for what does not end, over a catalogue that has
        room for all.
        """
        homes, changes = self.homes(), self.mended()
        for team in TEAMS:
            if team not in homes or team not in self.said:
                self.ask(team)
            self.said[team] = _within_reach(self.said[team])
            changes[homes.get(team, [path_of(team)])[0]] = self.said[team].text()
        return self.push({DEFAULT_CATALOG_PATH: self.scene.chance.choice(COMPLETE), **changes})

    def one_goes(self, blocked: frozenset[str]) -> Push:
        """As many as the guard lets go by itself."""
        team = self.scene.chance.choice(sorted(set(TEAMS) - blocked))
        return self.push(dict.fromkeys(self.homes()[team]))

    # --------------------------------------------------------------------------------------- the whole branch

    def other_catalog(self) -> Push | None:
        return self.push({DEFAULT_CATALOG_PATH: self._some_of(CATALOGS)})

    def spoil_catalog(self) -> Push | None:
        self.push({DEFAULT_CATALOG_PATH: self.scene.chance.choice((None, "models: []\n", "models: {"))})
        return self.pushes[-1]

    def unrelated(self) -> Push | None:
        return self.push({"README.md": f"{len(self.pushes)}\n"})

    def force_back(self) -> Push | None:
        """A force push to what the branch was before."""
        repository = self.scene.repository
        earlier = [
            commit
            for _, commit in repository.history[:-1]
            if commit is not None and commit != repository.branch
        ]
        if not earlier:
            return None
        before, old = repository.branch, repository.files()
        repository.reset(self.scene.chance.choice(earlier[-4:]))
        return self._pushed(before, old)

    def rewrite(self) -> Push | None:
        """A history without parents; GitHub forgets the old one. Links become files, as tools without links
        write them: such a file hides nothing.
        """
        repository = self.scene.repository
        before, old = repository.branch, repository.files()
        if before is None:
            return None
        repository.orphan()
        repository.commit(
            {**{path: content for path, (content, _) in old.items()}, "README.md": "rewritten\n"}
        )
        return self._pushed(before, old)

    def delete_branch(self) -> Push | None:
        """It is not there until the next push brings it back, which has no commit before it."""
        repository = self.scene.repository
        self.lost, old = repository.branch, repository.files()
        if self.lost is None:
            return None
        repository.delete_branch()
        return self._pushed(self.lost, old)

    def empty(self) -> Push | None:
        files = self.scene.repository.files()
        return self.push(dict.fromkeys(files)) if files else None

    def refill(self) -> Push | None:
        """Whatever there was in the beginning comes back."""
        if len(self.homes()) > 1:
            return None
        teams, catalog = self.scene.chance.sample(TEAMS, FEWEST), self._some_of(COMPLETE)
        return self.push({DEFAULT_CATALOG_PATH: catalog, **{path_of(team): self.ask(team) for team in teams}})

    def close_many(self) -> Push | None:
        """More than the guard lets go."""
        teams = self.some_team(2)
        return self.push({path: None for team in teams for path in self.homes()[team]}) if teams else None

    def allow(self) -> Push | None:
        """Somebody copies the line out of the check and means it."""
        lines = [
            _TRAILER.search(problem.message)
            for verdict in self.scene.app.reports.verdicts[-3:]
            for problem in verdict.problems
        ]
        found = [line[0] for line in lines if line]
        return self.push({}, self.scene.chance.choice(_MESSAGES).format(found[-1])) if found else None


def _within_reach(asked: Asked) -> Asked:
    """The same without what depends on others, or on the day: the last of the workspaces that there are, and
    an end.
    """
    return replace(asked, expires=None, dedicated={"mistral-7b": GPU} if asked.dedicated else {})


def places(team: str) -> tuple[str, str, str]:
    return (
        path_of(team),
        f"tenant-access/config/team-{team}/access.yaml",
        f"developer-requests/{team}/access.yaml",
    )


def _other_limit(people: People, asked: Asked) -> Asked:
    return replace(asked, tokens=people.scene.chance.choice((1_000, 5_000, 10_000)))


def _other_models(people: People, asked: Asked) -> Asked:
    models, openai = people.scene.chance.choice(
        ((("gpt-4.1",), ()), (("gpt-4.1", "text-embedding-3-large"), ()), (("gpt-4.1",), ("claude",)))
    )
    return replace(asked, models=models, openai=openai)


def _last_day(people: People, asked: Asked) -> Asked:
    """It is over when everything waits for the end of grace periods."""
    return replace(asked, expires=people.scene.chance.choice((None, LAST_DAY, LAST_DAY)))


def _other_readers(people: People, asked: Asked) -> Asked:
    return replace(asked, readers=people.scene.chance.choice((READERS, OTHER_READERS, None)))


def _other_workspaces(people: People, asked: Asked) -> Asked:
    return replace(
        asked,
        dedicated=people.scene.chance.choice(
            ({}, {"phi-4": GPU}, {"phi-4": LARGER_GPU}, {"mistral-7b": GPU})
        ),
    )


def _other_playground(people: People, asked: Asked) -> Asked:
    playground, tracing = people.scene.chance.choice(((False, False), (True, False), (True, True)))
    return replace(asked, playground=playground, tracing=tracing)


_WISHES: tuple[Callable[[People, Asked], Asked], ...] = (
    _other_limit,
    _other_models,
    _last_day,
    _other_readers,
    _other_workspaces,
    _other_playground,
)

DEEDS: dict[str, Callable[[People], Push | None]] = {
    "add": People.add,
    "change": People.change,
    "change twice": People.change_twice,
    "remove": People.remove,
    "move": People.move,
    "rename": People.rename,
    "swap": People.swap,
    "expire": People.expire,
    "invalid file": People.spoil,
    "mend": People.mend,
    "second file": People.second_file,
    "one of two files": People.one_of_two,
    "link in the place of a folder": People.link,
    "link in the place of all folders": People.link_elsewhere,
    "junk": People.junk,
    "last days brought forward": People.bring_forward,
    "other catalogue": People.other_catalog,
    "tight catalogue": People.tight_catalog,
    "invalid catalogue": People.spoil_catalog,
    "unrelated": People.unrelated,
    "force push": People.force_back,
    "history rewritten": People.rewrite,
    "branch deleted": People.delete_branch,
    "emptied": People.empty,
    "refilled": People.refill,
    "above the guard": People.close_many,
    "allowed by the trailer": People.allow,
}
#: How often each of them is picked, by how often it stands here.
NAMES = (
    *DEEDS, "add", "add", "change", "change", "change", "change", "change twice", "remove", "mend", "mend",
    "refilled", "refilled", "other catalogue", "other catalogue", "other catalogue", "tight catalogue",
    "tight catalogue", "allowed by the trailer",
)  # fmt: skip
