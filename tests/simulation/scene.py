"""What one run is made of: chance, time, the app over its fakes, the machines that run it, and what is
remembered of it all.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter, deque
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from random import Random

from shared.app import Timeouts
from shared.ports import Head
from tests.fakes.app import TIMEOUTS, FakeApp
from tests.fakes.bus import Held
from tests.fakes.calls import Call
from tests.fakes.clock import FakeClock
from tests.fakes.cluster import Kept
from tests.fakes.gateway import FakeGateway
from tests.fakes.repository import FakeRepository, Files
from tests.simulation.loop import LoopClock, VirtualLoop

#: Every key that the simulated gateway gives out begins so: whatever holds it holds a key.
KEY = "mk-key-"


@dataclass(eq=False)
class Machine:
    """One instance of the app. When it dies, nothing that it still wanted to do takes effect.

    `skew` is how wrong its clock is; `behind` how many seconds old GitHub's answers to it are, until
    `behind_until`.
    """

    name: str
    skew: timedelta = timedelta(0)
    behind: float = 0.0
    behind_until: float = 0.0
    alive: bool = True
    tasks: dict[asyncio.Task[None], None] = field(default_factory=dict)


@dataclass(eq=False)
class Handling:
    """One message or webhook call in the hands of a machine. `seen` is the place in the branch's history that
    it saw last, `stale` whether GitHub's answer was old then, `guarded` are the teams that the guard held
    there. `ends`: whether its message may end a team's access. `standing` are the workspaces that it saw when
    it listed them last, by namespace; that of all of them is None. `answered` are the workspaces,
    `namespace/name`, whose models answered it. `followed`: what it wrote is looked at again, by
    itself or by the one who gets its message or a copy. `bounding` is the namespace in
    which it deletes a workspace for its nodes.
    """

    machine: Machine
    label: str
    team: str | None
    began: float
    seen: int = -1
    stale: bool = False
    creates: bool = False
    locked: bool = True
    wrote: bool = False
    message: Held | None = None
    ends: bool = False
    guarded: frozenset[str] = frozenset()
    standing: dict[str | None, set[tuple[str, str]]] = field(default_factory=dict)
    answered: set[str] = field(default_factory=set)
    followed: bool = True
    bounding: str = ""

    def __str__(self) -> str:
        return f"{self.machine.name} {self.label}"


#: Who makes a call; None for people and for apps outside of the simulation.
current: ContextVar[Handling | None] = ContextVar("handling", default=None)


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken promise: its number in docs/simulation.md (0: an exception that is nobody's), and what was
    seen.
    """

    number: int
    what: str

    def __str__(self) -> str:
        return f"promise {self.number} is broken: {self.what}"


class MachineClock(FakeClock):
    """The clock of whatever machine asks."""

    def __init__(self, true: FakeClock) -> None:
        super().__init__()
        self._true = true

    def now(self) -> datetime:
        handling = current.get()
        return self._true.now() + (handling.machine.skew if handling else timedelta(0))


class WatchedRepository(FakeRepository):
    """Remembers every commit that was the branch's head, and which of them each machine was told."""

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene.app.calls, scene.true)
        self._scene = scene
        self.history: list[tuple[float, str | None]] = [(0.0, None)]
        self._heads: dict[str, Head] = {}

    def note(self) -> None:
        """The branch was moved."""
        if self.branch is not None:
            self._heads[self.branch] = Head(
                self.branch, self._commits[self.branch], self.protected, self._messages[self.branch]
            )
        self.history.append((self._scene.loop.time(), self.branch))

    async def head(self) -> Head | None:
        async with self._calls.read("repository", "head"):
            handling, place = current.get(), len(self.history) - 1
            if handling is not None:
                place = self._place_seen_by(handling.machine)
                handling.seen, handling.stale = place, place < len(self.history) - 1
                if handling.stale and handling.team:
                    self._scene.misled[handling.team] = self._scene.loop.time()
            commit = self.history[place][1]
            return None if commit is None else self._heads[commit]

    def files_of(self, commit: str | None) -> Files:
        """Nothing of a commit that nobody knows."""
        return self._trees[self._heads[commit].tree] if commit in self._heads else {}

    def _place_seen_by(self, machine: Machine) -> int:
        now, place = self._scene.loop.time(), len(self.history) - 1
        if machine.behind_until <= now:
            return place
        while place > 0 and self.history[place][0] > now - machine.behind:
            place -= 1
        return place


class WatchedGateway(FakeGateway):
    """Its keys can be recognised wherever they turn up."""

    def _new_key(self, subscription: str) -> str:
        return KEY + hashlib.sha256(f"{subscription} {next(self._numbers)}".encode()).hexdigest()[:25]


class Scene:
    """One run. `counts` says what happened how often, `trace` holds the last of it, `misled` when an old head
    was read last, by team; `bereft` are teams of whom somebody died who had lost the lock.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.chance = Random(seed)
        self.loop = VirtualLoop(self.chance)
        self.true = LoopClock(self.loop)
        self.app = FakeApp(clock=self.true)
        self.app.clock = MachineClock(self.true)
        self.app.timeouts = _limits(self.chance)
        assert self.app.cluster is not None
        self.app.cluster.nodes_take, self.app.cluster.models_take = (
            timedelta(seconds=70),
            timedelta(seconds=130),
        )
        # Long enough for a write to come too early.
        self.app.vault.recovery = timedelta(seconds=12)
        self.repository = WatchedRepository(self)
        self.app.repository = self.repository
        self.app.gateway = WatchedGateway(self.app.calls)
        self.violations: list[Violation] = []
        self.counts: Counter[str] = Counter()
        self.trace: deque[tuple[float, object, object]] = deque(maxlen=400)
        self.foreign: dict[tuple[str, str], float] = {}
        #: When a hand took the label off a namespace by which the cluster knows ours, as long as it is off.
        self.unlabelled: dict[str, float] = {}
        #: ConfigMaps that a hand has made anew, by namespace and name, as it made them.
        self.edited_configs: dict[tuple[str, str], Kept] = {}
        #: When a newer version wrote a product, as long as nobody has put it back.
        self.newer: dict[str, float] = {}
        self.misled: dict[str, float] = {}
        self.bereft: set[str] = set()
        #: When a team's last dead letter came.
        self.troubled: dict[str, float] = {}
        #: When a hand last took the policies of all products away.
        self.bared = -1.0
        self.log: list[str] = []

    def note(self, who: object, what: object) -> None:
        self.trace.append((self.loop.time(), who, what))

    async def sleep(self, seconds: float) -> None:
        """Virtual seconds."""
        await asyncio.sleep(seconds)

    async def pass_time(self) -> None:
        """What a remote call takes: mostly so little that only the order tells."""
        luck = self.chance.random()
        if luck > 0.35:
            await asyncio.sleep(0 if luck < 0.85 else luck if luck < 0.98 else self.chance.random() * 6)

    def fail(self, number: int, what: str) -> None:
        """The first broken promise ends the run."""
        if self.violations:
            return
        self.note("VIOLATION", what)
        self.violations.append(Violation(number, what))
        self.loop.stop()

    def told(self) -> list[str]:
        return [f"{moment:9.2f}  {who}: {what}" for moment, who, what in self.trace]


def _limits(chance: Random) -> Timeouts:
    """Shorter than in Azure, so that a run goes through all of them."""
    return replace(
        TIMEOUTS,
        grace=timedelta(minutes=chance.choice((15, 45, 240))),
        workspace_grace=timedelta(minutes=chance.choice((2, 10))),
        key_overlap=timedelta(minutes=chance.choice((0, 5, 40))),
        wait=timedelta(minutes=chance.choice((10, 60))),
        retry=timedelta(minutes=chance.choice((20, 120))),
    )


def is_write(call: Call) -> bool:
    """Whether it changes what people have: messages and reports do not."""
    return call.writes and call.system not in ("bus", "reports", "host")
