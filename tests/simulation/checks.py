"""What must be true between the phases of a story: as pairs of the promise's number and what breaks it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from shared.messaging.routes import DEAD_LETTERS, STAGES
from shared.requests.paths import DEFAULT_CATALOG_PATH
from tests.fakes.app import PATHS
from tests.simulation.catalogs import TIGHT
from tests.simulation.expected import platform, slice_of, without_hands
from tests.simulation.github import GitHub
from tests.simulation.hands import Hands
from tests.simulation.hosts import Hosts
from tests.simulation.people import TEAMS, People
from tests.simulation.scene import Scene
from tests.simulation.trouble import KINDS, MORE_NODES, NEVER_LOADS, NOT_SERVED
from tests.simulation.verdict import Verdict
from tests.simulation.watch import Watch

#: What can be the cause of a dead letter, by its reason and what it tells: the first pattern that fits.
#: Nothing else is a cause.
EXPLAINED = (
    (r"NotManaged: there is a ConfigMap ", ("by hand: configuration edited",)),
    (r"NotManaged: there is a ", ("foreign",)),
    (r"NotManaged: (product|namespace) ", ("foreign",)),
    (r"LabelLost: namespace ", ("by hand: namespace unlabelled",)),
    (r"AccessDenied: namespace .* lacks the label", ("by hand: namespace unlabelled", "foreign")),
    (r"Rejected: the tier has no more products", ("tier is full",)),
    (r"NewerVersion: |RetriesExhausted: .*: NewerVersion: ", ("by hand: written by a newer version",)),
    (r"AccessDenied: 403", ("role revoked",)),
    (r"AccessDenied: unable to create new content", ("by hand", "lock lost", "overtaken")),
    (r"MalformedMessage: ", ("garbage",)),
    (r"MaxDeliveryCountExceeded: ", (
        "a machine dies", "lock lost", "overtaken", "outage", "role revoked", "throttled", "timeout",
        "server error",
    )),
    (r"RetriesExhausted: .*: Unavailable: (500|503|no answer in time)$", (
        "server error", "outage", "timeout",
    )),
    (r"RetriesExhausted: .*: Throttled: 429$", ("throttled",)),
    (r"RetriesExhausted: .*: Busy: 409$", ("conflict",)),
    (r"RetriesExhausted: .*: KindNotServed: ", (NOT_SERVED,)),
    (r"RetriesExhausted: ", (
        "foreign", "by hand", "lock lost", "overtaken", "tier is full", "role revoked", "outage",
    )),
    (r"StartupNotPassed: ", (NEVER_LOADS,)),
    (r"TooManyNodes: ", (MORE_NODES,)),
    (r"WaitedTooLong: ", tuple(KINDS)),
)  # fmt: skip


class Checks:
    """Looks at the world, at the log and at what was told; changes nothing."""

    def __init__(
        self,
        scene: Scene,
        verdict: Verdict,
        watch: Watch,
        people: People,
        github: GitHub,
        hosts: Hosts,
        hands: Hands,
    ) -> None:
        self.scene, self.verdict, self.watch = scene, verdict, watch
        self.people, self.github, self.hosts, self.hands = people, github, hosts, hands

    def world(self) -> dict[str, object]:
        app = self.scene.app
        return {**{team: without_hands(slice_of(app, team)) for team in TEAMS}, "platform": platform(app)}

    def before_sweeps(self) -> Iterator[tuple[int, str]]:
        """A team whose last push was told reliably, and that nobody touched, needs no sweep; and something
        explains every dead letter.
        """
        yield from (
            (1, f"{team}, without a sweep: {what}")
            for team, what in self.verdict.differences()
            if self._needs_no_sweep(team)
        )
        yield from ((1, f"a dead letter that nothing explains: {reason}") for reason in self._unexplained())

    def after_a_sweep(self, over: set[str]) -> Iterator[tuple[int, str]]:
        """Nobody has access who had no request before it, `over`, unless a dead letter tells why."""
        told = {str(held.envelope.properties.get("team")) for held in self.scene.app.bus.queues[DEAD_LETTERS]}
        for team in sorted((self.verdict.wished("over") & over) - told - self.hands.blocked()):
            yield from (
                (9, f"a sweep after the withdrawal of {team}: {what}") for what in self.verdict.alive(team)
            )

    def when_calm(self) -> Iterator[tuple[int, str]]:
        """Whatever is a dead letter still, when all was replayed without any fault, has something that is
        somebody else's as its reason, or a newer version's, or the nodes of its workspace; or it waited for
        what another one could not do.
        """
        letters = [each.properties for each in self.scene.app.bus.dead_letters()]
        refused = {letter["team"] for letter in letters if self._is_refused(letter)}
        for letter in letters:
            follows = str(letter["message"]).startswith("ProductNotThere ") and letter["team"] in refused
            if not follows and not self._is_refused(letter):
                what = f"{letter['reason']} of {letter['team']}: {letter['message']}"
                yield 1, f"a dead letter when all is calm: {what}"

    def _is_refused(self, letter: Mapping[str, object]) -> bool:
        theirs = [*(name for _, name in self.scene.foreign), *self.scene.newer, *self.scene.unlabelled]
        theirs += [name for _, name in self.hands.edited_configs()]
        if letter["reason"] == "TooManyNodes":
            return self.watch.nodes.explains(str(letter["team"]))
        foreign = letter["reason"] in ("NotManaged", "LabelLost") or "newer version" in str(letter["message"])
        return foreign and any(name in str(letter["message"]) for name in theirs)

    def in_peace(self, unseen: set[str]) -> Iterator[tuple[int, str]]:
        """What was pushed is done by itself, for all but the `unseen`: they wait for a sweep, as does a
        mirror that the catalogue does not want any more.
        """
        wrong = [
            (1, team, what)
            for team, what in self.verdict.differences()
            if not (what.startswith("mirror is (") and what.endswith("should be None"))
        ]
        wrong += [(3, what.partition("-")[0], what) for what in self.verdict.keys_apart()]
        yield from (
            (number, f"pushed in peace, {team}: {what}") for number, team, what in wrong if team not in unseen
        )

    def _unexplained(self) -> list[str]:
        happened = {name.removeprefix("fault: ") for name in self.scene.counts}
        letters = [letter.properties for letter in self.scene.app.bus.dead_letters()]
        told = {f"{letter['reason']}: {letter['message']}": str(letter["team"]) for letter in letters}
        return [
            f"{what} ({team})"
            for what, team in sorted(told.items())
            if not any(name.startswith(_causes(what)) for name in happened)
        ]

    def _needs_no_sweep(self, team: str) -> bool:
        scene = self.scene
        place = self.watch.since_when(team, len(scene.repository.history) - 1)
        since = scene.repository.history[place][0]
        told = [push.delivery for push in self.people.pushes if push.place == place]
        if not all(
            delivery in self.github.reliable and self.hosts.answers.get(delivery) == 202 for delivery in told
        ):
            return False
        if team in {*self.hands.touched, *scene.bereft}:
            return False
        # What a dead letter says is done when it is replayed, also where a later push changed nothing of it.
        if any(letter.properties.get("team") == team for letter in scene.app.bus.dead_letters()):
            return False
        # A sweep that was told what the branch had said before finds nothing to do.
        if any(
            moments.get(who, -1.0) >= since
            for moments in (scene.troubled, scene.misled)
            for who in (team, "sweep")
        ):
            return False
        shared = self._counted(team, place) or self._freed(place)
        return not (self._left(team) or shared or self._held(team) or self._gone_unheard(team, place))

    def _left(self, team: str) -> bool:
        """The log says that a sweep has to look."""
        return any(f"/{team} is left to the next sweep" in line for line in self.scene.log)

    def _counted(self, team: str, place: int) -> bool:
        """Whether there is room for its GPUs, or in a tight catalogue for its tokens, depends on the other
        teams.
        """
        files = self.scene.repository.files().items()
        catalogs = (
            self.scene.repository.files_of(commit).get(DEFAULT_CATALOG_PATH)
            for _, commit in self.scene.repository.history[place:]
        )
        tight = any(catalog is not None and TIGHT.encode() in catalog[0] for catalog in catalogs)
        return tight or any(
            b"phi-4, dedicated" in content and PATHS.team_of(path) == team for path, (content, _) in files
        )

    def _held(self, team: str) -> bool:
        """A sweep lets go a team that the guard holds, or once held, and a last day that it keeps back; a
        team that is back is provided for.
        """
        problems = [problem for verdict in self.scene.app.reports.verdicts for problem in verdict.problems]
        held = {problem.reason for problem in problems if team in f"{problem.path} {problem.message}"} & {
            "WithdrawalsHeld",
            "EndsHeld",
        }
        is_wanted = self.verdict.wishes()[team].what == "wanted"
        return "EndsHeld" in held or (bool(held or team in self.watch.ever_guarded) and not is_wanted)

    def _freed(self, place: int) -> bool:
        """A model that nobody uses any more frees its catalogue, and what was refused beside that: by whoever
        gave it up.
        """
        commits = {commit for _, commit in self.scene.repository.history[place:]}
        verdicts = [verdict for verdict in self.scene.app.reports.verdicts if verdict.commit in commits]
        return any(problem.reason == "ModelStillUsed" for verdict in verdicts for problem in verdict.problems)

    def _gone_unheard(self, team: str, place: int) -> bool:
        """Its access ended without a push that tells of it.

        While the branch has no file at all, nobody is withdrawn and every message is superseded; who was in
        it before is gone then, and the catalogues that come after that say nothing new of them. And no push
        tells of access whose day is over and whose file nobody can read.
        """
        wish, history, last = (
            self.verdict.wishes()[team],
            self.scene.repository.history,
            self.watch.last_asked(team),
        )
        empty = any(
            not self.scene.repository.files_of(commit)
            for _, commit in history[max(min(place, last) - 1, 0) :]
        )
        return (wish.what != "wanted" and empty) or (last == len(history) - 1 and not wish.path)

    def after_grace(self, gone: set[str]) -> Iterator[tuple[int, str]]:
        """`gone` had no access any more when the grace periods of all began to end."""
        for team in sorted(self.verdict.wished("over") - self.hands.blocked()):
            what = "grace" if team in gone else "access"
            yield from (
                (9, f"{what} of {team} has ended: {left}")
                for left in (self.verdict.left if team in gone else self.verdict.alive)(team)
            )
        yield from (
            (9, f"grace of all has ended, the platform: {what}") for what in self.verdict.of_platform()
        )

    def as_the_branch_says(self, when: str) -> Iterator[tuple[int, str]]:
        bus, hands = self.scene.app.bus, self.hands
        yield from (
            (1, f"{stage.name} still has messages")
            for stage in STAGES
            if bus.queues[stage.name] or bus.put_aside[stage.name]
        )
        yield from ((5, f"an object of others was changed: {what}") for what in hands.changed_strangers())
        yield from ((1, f"{when}, {team}: {what}") for team, what in self.verdict.differences())
        yield from ((1, f"{when}, the platform: {what}") for what in self.verdict.of_platform())
        yield from ((3, what) for what in self.verdict.keys_apart())
        yield from ((12, f"{when}, {what}") for what in self.verdict.keys_of_former_readers())


def _causes(told: str) -> tuple[str, ...]:
    return next((causes for pattern, causes in EXPLAINED if re.match(pattern, told)), ("-",))
