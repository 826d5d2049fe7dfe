"""One seed from beginning to end: events and faults; then the faults stop, all settles, and the world must be
what the branch says.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from time import perf_counter

from shared.api import dead_letters
from shared.messaging.routes import DEAD_LETTERS
from shared.requests.paths import DEFAULT_CATALOG_PATH
from shared.stages.settlement import start_sweep
from tests.fakes.bus import Held
from tests.fakes.calls import Call
from tests.fakes.roads import undisturbed
from tests.simulation.caches import forget_trees
from tests.simulation.catalogs import COMPLETE
from tests.simulation.checks import Checks
from tests.simulation.github import ONCE, RACING, WAYS, GitHub
from tests.simulation.hands import Hands
from tests.simulation.hosts import Hosts
from tests.simulation.loop import NoEnd, NothingLeft
from tests.simulation.people import LAST_DAY, TEAMS, People, Push
from tests.simulation.readers import Readers
from tests.simulation.roads import RoadTrouble
from tests.simulation.scene import Scene, Violation, current, is_write
from tests.simulation.trouble import KINDS, RACES, RIVAL, Trouble
from tests.simulation.verdict import Verdict
from tests.simulation.watch import Watch

FEWEST_EVENTS, FEWEST_FAULTS = 20, 5
#: Sweeps after which everything must be as the branch says: findings, their waits and their dead letters need
#: some.
SWEEPS, MOST_SWEEPS = 4, 8
#: When access is over whose last day is that on which the stories begin, or the next.
AFTERWARDS = datetime.combine(LAST_DAY, time(1), UTC) + timedelta(days=2)
#: Dead letters of the whole story that are replayed again in the end.
MOST_LETTERS = 10
#: Every so many stories go on in peace: it takes as long as half of the story before.
PEACEFUL, EDITS_IN_PEACE = 3, 5
#: How often the branch moves because somebody has lost a lock.
MOST_MEANWHILE = 12
#: How often another team asks for what one is being given.
MOST_RIVALS = 12
#: What every record of a log has; formatting adds two.
_RECORD = frozenset({*vars(logging.makeLogRecord({})), "message", "asctime"})


@dataclass
class Result:
    """`digest` is over everything that happened: two runs of one seed have the same."""

    seed: int
    violations: list[Violation]
    counts: Counter[str]
    steps: int
    seconds: float
    digest: str = ""
    trace: list[str] = field(default_factory=list)


class Run:
    """The parts of one run, put together."""

    def __init__(self, seed: int) -> None:
        self.scene = Scene(seed)
        chance = self.scene.chance
        self._racy = chance.random() < 0.35
        self.hosts = Hosts(self.scene, 3 if self._racy else chance.randint(1, 3))
        self.people = People(self.scene)
        self.github = GitHub(self.scene, self.hosts)
        self.hands = Hands(self.scene)
        self.watch = Watch(self.scene)
        self.people.compete = chance.random() < 0.3
        kinds = RACES if self._racy else tuple(chance.sample(list(KINDS), chance.randint(5, len(KINDS))))
        kinds += (RIVAL,) if self.people.compete and RIVAL not in kinds else ()
        self.trouble = Trouble(self.scene, self.hosts, kinds, self._meanwhile)
        self.readers = Readers(self.scene)
        self.trouble.rival = self._rival
        if self.scene.app.roads is not None:
            self.scene.app.roads.disturbed = RoadTrouble(self.scene)
        self.verdict = Verdict(self.scene, self.watch, self.hands, self.readers)
        self.checks = Checks(
            self.scene, self.verdict, self.watch, self.people, self.github, self.hosts, self.hands
        )
        self.scene.app.calls.before, self.scene.app.calls.after = self._before, self._after
        self._pace = chance.choice((5.0, 40.0, 120.0))
        self._timers = chance.random() < 0.5 and not self._racy
        self._meanwhiles = self._rivals = 0

    # --------------------------------------------------------------------------------------------- every call

    async def _before(self, call: Call) -> None:
        handling = current.get()
        if handling is None:
            return
        scene = self.scene
        scene.trace.append((scene.loop.time(), handling, call))
        await scene.pass_time()
        await self.trouble.before(call, handling)
        self.watch.before(call, handling)
        self.readers.look(call)

    async def _after(self, call: Call) -> None:
        handling = current.get()
        self.readers.look(call)
        if call.system == "bus":
            self.hosts.poke()
            self._note_letters(call)
        if handling is not None:
            handling.wrote = handling.wrote or is_write(call)
            self.watch.after(call, handling)
            await self.trouble.after(call, handling)

    def _note_letters(self, call: Call) -> None:
        if call.target.startswith(f"{DEAD_LETTERS} "):
            ids, scene = set(call.target.split()[1:]), self.scene
            found = (
                envelope for envelope in scene.app.bus.sent[-len(ids) :] if envelope.entity == DEAD_LETTERS
            )
            scene.troubled |= {str(envelope.properties["team"]): scene.loop.time() for envelope in found}

    # ------------------------------------------------------------------------------------------------- phases

    def go(self) -> None:
        for phase in (self._events, self._last_word, self._calm):
            self._until(phase())
        if not self.scene.violations:
            self._check(self.checks.before_sweeps())
        self._until(self._mend())
        self._until(self._sweep_until_settled())
        self._check(self.checks.as_the_branch_says("after settling"))
        self._until(self._sweep_again())
        # A last day may pass while letters are replayed, which takes hours: no sweep has ended such access.
        gone = self.verdict.wished("over")
        self._until(self._sweep_until_nothing_moves())
        self._until(self._replay())
        self._until(self._outlive_grace())
        self._check(self.checks.after_grace(gone))
        self._check(self.checks.as_the_branch_says("after the grace periods"))
        if self.scene.seed % PEACEFUL == 0:
            self._go_on_in_peace()
        self._check((4, f"a key is outside: {where}") for where in self.verdict.keys_outside())

    def _until(self, phase: Awaitable[None]) -> None:
        """Runs a phase to its end, or to the first broken promise."""
        loop = self.scene.loop
        if self.scene.violations:
            phase.close()  # type: ignore[attr-defined]
            return
        task: asyncio.Task[None] = loop.create_task(phase)  # type: ignore[arg-type]
        try:
            loop.run_until_complete(task)
        except (NoEnd, NothingLeft) as error:
            if not self.scene.violations:
                self.scene.violations.append(Violation(10, f"{error!r} after {loop.steps} steps"))
        except RuntimeError:
            if not self.scene.violations:
                raise

    async def _events(self) -> None:
        scene, chance = self.scene, self.scene.chance
        self.people.begin()
        self.github.tell(self.people.pushes, ONCE)
        events = 0
        while events < FEWEST_EVENTS or self._faults() < FEWEST_FAULTS:
            await scene.sleep(chance.expovariate(1 / self._pace))
            if self.people.act() is not None:
                events += 1
                self.watch.ever_guarded |= self.watch.rules.guarded(len(scene.repository.history) - 1)
            if chance.random() < 0.8:
                self.github.tell(self.people.pushes, RACING if self._racy else WAYS)
            if chance.random() < 0.4:
                chance.choice(self._mischief())()
            if chance.random() < 0.15 and self._timers:
                self.hosts.timer()

    def _meanwhile(self, team: str) -> None:
        """Somebody changes a team's request while a message about it is in two hands."""
        pushed: Push | None = None
        if team in self.trouble.prey:
            self.trouble.prey.discard(team)
            pushed = self.people.last_word(team)
        elif self._meanwhiles < MOST_MEANWHILE:
            pushed = self.people.change_of(team)
        if pushed is not None:
            self._meanwhiles += 1
            self.scene.counts["event: change meanwhile"] += 1
            self.github.tell(self.people.pushes, RACING if self._racy else WAYS)

    def _rival(self, team: str) -> bool:
        pushed = self.people.rival(team) if self._rivals < MOST_RIVALS else None
        if pushed is not None:
            self._rivals += 1
            self.scene.counts["event: rival"] += 1
            self.github.tell(self.people.pushes, ONCE)
        return pushed is not None

    def _faults(self) -> int:
        return sum(count for name, count in self.scene.counts.items() if name.startswith("fault"))

    def _mischief(self) -> tuple[Callable[[], None], ...]:
        github, hands = self.github, self.hands
        if self._racy:
            return (github.repeat_message, github.forge_push)
        return (
            hands.act, hands.act, hands.act, hands.act, hands.act, hands.act_as_stranger, github.forge_push,
            github.forge_message, github.garbage, github.repeat_message, github.repeat_message,
            self._replay_one, self._replay_one,
        )  # fmt: skip

    def _replay_one(self) -> None:
        """An operator replays some dead letter, whatever has happened since."""
        waiting = self.scene.app.bus.queues[DEAD_LETTERS]
        if waiting:
            self.scene.counts["fault: late replay"] += 1
            self.hosts.operator([self.scene.chance.choice(waiting).sequence])

    async def _last_word(self) -> None:
        """Teams change their readers, and their minds while that is being written: no later push puts right
        what goes wrong now.
        """
        self._meanwhiles = MOST_MEANWHILE
        for team in sorted(self.people.homes()) if self._racy else ():
            self.people.other_readers(team)
            self.trouble.prey.add(team)
            self.scene.counts["event: last word"] += 1
            self.github.tell(self.people.pushes, ONCE)
            await self.scene.sleep(self.scene.chance.expovariate(1 / self._pace))

    async def _calm(self) -> None:
        """The faults stop. What is under way comes to its end; no timer starts a sweep."""
        self.github.tell(self.people.pushes, RACING if self._racy else WAYS)
        await self.scene.sleep(1600)
        self.trouble.stop()
        await self.hosts.quiet()

    async def _mend(self) -> None:
        """Most of the time people put right what is wrong on the branch and let go of our names; else they
        misspell something more.
        """
        scene, chance = self.scene, self.scene.chance
        if chance.random() < 0.7:
            self.people.push({DEFAULT_CATALOG_PATH: chance.choice(COMPLETE), **self.people.mended()})
        else:
            self.people.spoil()
        self.github.tell(self.people.pushes, ONCE)
        if chance.random() < 0.5:
            self.hands.strangers_leave()
        await scene.sleep(10)
        await self.hosts.quiet()
        # Later than the other faults: a GPU takes so long that a road is hardly asked before.
        if scene.app.roads is not None:
            scene.app.roads.disturbed = undisturbed

    async def _sweep_until_settled(self) -> None:
        """The least number of sweeps; more while the guard holds others than before: who is cleaned away
        counts no longer in the next.
        """
        over, held, number = self.verdict.wished("over"), set[str](), 0
        while number < SWEEPS or (held != self.verdict.wished("held") and number < MOST_SWEEPS):
            held = self.verdict.wished("held")
            await self._sweep()
            if not number:
                self._check(self.checks.after_a_sweep(over))
            await self._replay_all()
            if number:
                # In the first round it is told once more what cannot be read.
                self._check(self.checks.when_calm())
            await self._discard_all()
            number += 1

    async def _sweep(self) -> None:
        await self.scene.sleep(900)
        self.verdict.named_before = self.verdict.named()
        await start_sweep(self.scene.app, "everything settles", deep=True)
        await self.hosts.quiet()

    async def _replay_all(self) -> None:
        await dead_letters.replay(self.scene.app, dead_letters.Command(self._letters(), "an operator"))
        await self.hosts.quiet()

    async def _discard_all(self) -> None:
        await dead_letters.discard(
            self.scene.app, dead_letters.Command(self._letters(), "an operator"), "the cause is gone"
        )

    def _letters(self) -> list[int]:
        return [held.sequence for held in self.scene.app.bus.queues[DEAD_LETTERS]]

    async def _sweep_again(self) -> None:
        """Twice; the second time nothing is written, unless somebody's grace period, or a key's time, has
        ended in between.
        """
        await self._sweep()
        ends = self._ends()
        calls, refused = self.scene.app.calls, self.verdict.named_before | self.verdict.still_named()
        calls.forget()
        await self._sweep()
        written = [
            str(call)
            for call in calls.made
            if is_write(call) and not (call.name.startswith("delete_") and call.target in refused)
        ]
        if written and ends == self._ends():
            self.scene.fail(7, f"a second sweep writes: {', '.join(written[:5])}")

    async def _sweep_until_nothing_moves(self) -> None:
        """What a product named whose grace period has just ended goes in the sweep after the product's."""
        for _ in range(SWEEPS):
            before = self.checks.world()
            await self._sweep()
            if before == self.checks.world():
                return

    def _ends(self) -> list[object]:
        return [(self.verdict.grace_ends(team), self.verdict.waiting_keys(team)) for team in TEAMS]

    async def _replay(self) -> None:
        """Every dead letter, three times, also those that were replayed or discarded long ago; the world
        stays what it was.
        """
        before, began, wishes = self.checks.world(), self.scene.true.now(), self.verdict.wishes()
        ends = {team: self.verdict.ends_of_grace(team) for team in TEAMS}
        self._bring_letters_back()
        await self._replay_all()
        # Of a team of which the branch says nothing that counts, no sweep puts anything right; whoever looks
        # at it anew may. And a letter may carry the leave that was given to withdraw a team which the guard
        # holds by now: every write is judged by it.
        spoken_for = self.verdict.wished("kept") | self.verdict.wished("held")
        before |= {team: what for team, what in self.checks.world().items() if team in spoken_for}
        for _ in range(2):
            await self._replay_all()
        # Letters may take hours, if a newer version looks after an object: a grace period may end meanwhile,
        # or a last day.
        now = self.scene.true.now()
        over = {team for team in TEAMS if any(began < end <= now for end in ends[team])}
        over |= self.verdict.ended_since(wishes)
        for team, what in self.checks.world().items():
            if what != before[team] and team not in over:
                self.scene.fail(8, f"replaying dead letters changed {team}")
        await self._discard_all()

    def _bring_letters_back(self) -> None:
        bus = self.scene.app.bus
        kept = [envelope for envelope in bus.sent if envelope.entity == DEAD_LETTERS]
        for envelope in self.scene.chance.sample(kept, min(len(kept), MOST_LETTERS)):
            bus.queues[DEAD_LETTERS].append(Held(envelope, self.scene.true.now(), next(bus._numbers)))

    async def _outlive_grace(self) -> None:
        grace = self.scene.app.timeouts.grace + timedelta(hours=1)
        await self.scene.sleep(max(grace, AFTERWARDS - self.scene.true.now()).total_seconds())
        for _ in range(3):
            await self._sweep()

    def _go_on_in_peace(self) -> None:
        """Nothing fails any more: what is pushed is done by itself, for everybody. Who was gone comes back
        after grace, then within it.

        What hands, or handlers that came too late, did to teams that the branch then did not grant anything,
        only a sweep finds: once.
        """
        unseen = (
            self.hands.touched | self.scene.bereft | self.verdict.wished("kept") | self.verdict.wished("held")
        )
        for push in (self.people.come_back, self.people.one_goes, self.people.come_back):
            self._until(self._push_in_peace(push))
            self._check(self.checks.in_peace(unseen))
            if unseen:
                self._until(self._sweep())
                unseen = set()
                self._check(self.checks.in_peace(unseen))
        self._until(self._edit_in_peace())
        self._check(self.checks.as_the_branch_says("after edits by hand"))

    async def _edit_in_peace(self) -> None:
        """What people edit by hand now, no push puts right: only the sweeps do, where no stranger is in the
        way.
        """
        self.hands.strangers_leave()
        for _ in range(EDITS_IN_PEACE):
            self.hands.act()
        for _ in range(2):
            await self._sweep()
            await self._replay_all()
            await self._discard_all()

    async def _push_in_peace(self, push: Callable[[frozenset[str]], Push]) -> None:
        push(self.hands.blocked())
        self.github.tell(self.people.pushes, ONCE)
        await self.scene.sleep(10)
        await self.hosts.quiet()

    # ------------------------------------------------------------------------------------------------- checks

    def _check(self, broken: Iterable[tuple[int, str]]) -> None:
        if not self.scene.violations:
            for number, what in broken:
                self.scene.violations.append(Violation(number, what))
                self.scene.note("VIOLATION", what)
                break

    def close(self) -> None:
        """Whatever still runs ends here."""
        loop = self.scene.loop
        self.hosts.stop()
        loop.longest = loop.steps * 2 + 1_000_000
        while tasks := asyncio.all_tasks(loop):
            for task in tasks:
                task.cancel()
            # A promise that broke in the last step of a phase has told the loop to stop, which it does now.
            with suppress(RuntimeError):
                loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        loop.close()


class _Log(logging.Handler):
    """Keeps what the app logs, with exceptions and what is only attached. The watch hears it at once."""

    def __init__(self, lines: list[str], watch: Watch) -> None:
        super().__init__(logging.DEBUG)
        self._lines = lines
        self._watch = watch

    def emit(self, record: logging.LogRecord) -> None:
        attached = {name: value for name, value in vars(record).items() if name not in _RECORD}
        self._lines.append(self.format(record) + (f" {attached}" if attached else ""))
        self._watch.hear(self._lines[-1], current.get())


def simulate(seed: int) -> Result:
    """The whole of one seed."""
    forget_trees()
    began, run, log = perf_counter(), Run(seed), logging.getLogger("mergekey")
    handler = _Log(run.scene.log, run.watch)
    log.addHandler(handler)
    # What is done is logged as well, and Application Insights has all of it.
    log.propagate, level = False, log.level
    log.setLevel(logging.DEBUG)
    try:
        run.go()
    finally:
        log.removeHandler(handler)
        log.propagate = True
        log.setLevel(level)
        run.close()
    scene = run.scene
    digest = hashlib.sha256("\n".join([*scene.log, *map(str, scene.app.calls.made)]).encode()).hexdigest()[
        :12
    ]
    return Result(
        seed, scene.violations, scene.counts, scene.loop.steps, perf_counter() - began, digest, scene.told()
    )
