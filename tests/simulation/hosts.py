"""The Functions hosts: machines that are handed messages session by session, webhook calls and timers, and
that can die.

A session is locked while a message of it is handled. A lock can be lost while its handler runs on; then the
message is handed out again, and what the old handler says about it in the end counts for nothing. A machine
that dies takes its handlers along.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime, timedelta

from shared.api import dead_letters
from shared.errors import MergekeyError
from shared.messaging.messages import read_envelope
from shared.messaging.outcomes import Push
from shared.messaging.retry_state import IncomingMessage
from shared.messaging.routes import STAGES, Stage
from shared.stages.settlement import collect, settle, settle_push, start_sweep
from tests.fakes.bus import MOST_DELIVERIES, Held
from tests.fakes.calls import Call
from tests.simulation.scene import Handling, Machine, Scene, current
from tests.stages.road import WORK

#: What the broker says of a message that was handed out too often.
TOO_OFTEN = {"DeadLetterReason": "MaxDeliveryCountExceeded"}
LONGEST_LOCK = 60.0

Step = Callable[[], Awaitable[None]]


class Hosts:
    """`locks` are the sessions that are being handled, by stage and session; `underway` everything that runs.

    `complete_first`: messages are completed before they are handled, as nobody should.
    """

    complete_first = False

    def __init__(self, scene: Scene, machines: int) -> None:
        self._scene = scene
        self.machines = [Machine(f"m{number}.1") for number in range(machines)]
        self.locks: dict[tuple[str, str | None], Handling] = {}
        self.underway: dict[asyncio.Task[None], Handling] = {}
        self.answers: dict[str, int] = {}
        self._collecting: set[int] = set()
        self._poked = False
        self._timer: asyncio.TimerHandle | None = None
        self._due: datetime | None = None
        self._quiet: asyncio.Future[None] | None = None

    # -------------------------------------------------------------------------------- what comes from outside

    def push(self, delivery: str, before: str | None, allows: bool = False) -> None:
        """A webhook call of GitHub; `allows`: one of the pushed commits gives leave."""
        handling = self._handling(f"push {delivery}", None)
        self._run(handling, lambda: self._take_push(Push(delivery, before, allows)))

    def timer(self) -> None:
        """Time for a sweep."""
        handling = self._handling("timer", None)
        self._run(handling, lambda: self._start_sweep())

    def stop(self) -> None:
        """The run is over: nothing is handed out any more."""
        for machine in self.machines:
            machine.alive = False

    def operator(self, sequences: list[int]) -> None:
        """Somebody replays dead letters."""
        handling = self._handling(f"operator replays {sequences}", None)
        self._run(handling, lambda: self._replay(sequences))

    def poke(self) -> None:
        """Messages may have come, or may be handed out again."""
        if not self._poked:
            self._poked = True
            self._scene.loop.call_soon(self._hand_out)

    def die(self, machine: Machine) -> None:
        """Its handlers end where they are; another instance takes its place after a while, and the broker
        gives its locks back.
        """
        if not machine.alive:
            return
        machine.alive = False
        for task in list(machine.tasks):
            self._remember_end(self.underway[task])
            task.cancel()
        for handling in list(self.locks.values()):
            if handling.machine is machine:
                self._scene.loop.call_later(
                    self._scene.chance.random() * LONGEST_LOCK, self.lose_lock, handling
                )
        name, _, epoch = machine.name.partition(".")
        successor = Machine(f"{name}.{int(epoch) + 1}")
        self._scene.loop.call_later(
            self._scene.chance.random() * 20, self._start_machine, self.machines.index(machine), successor
        )

    def _remember_end(self, handling: Handling) -> None:
        """Whoever has lost the lock is not followed by anybody: what it wrote last it cannot look at again,
        only a sweep can.
        """
        if handling.team is not None and handling.wrote and not handling.locked:
            handling.followed = False
            self._scene.bereft.add(handling.team)

    def _remember_no_copy(self, handling: Handling) -> None:
        """It has lost the lock and fails, and no copy of its message comes after it."""
        handling.followed = handling.followed and handling.locked

    def lose_lock(self, handling: Handling) -> None:
        """The broker gives the message to somebody else; the handler does not know."""
        found = [key for key, holder in self.locks.items() if holder is handling]
        for key in found:
            handling.locked = False
            stage = next(stage for stage in STAGES if stage.name == key[0])
            del self.locks[key]
            if handling.message is not None and not self.complete_first:
                self._scene.app.bus.abandon(stage, handling.message)
            self.poke()

    # ---------------------------------------------------------------------------------------------- quietness

    def is_quiet(self) -> bool:
        bus = self._scene.app.bus
        return not self.underway and not any(
            bus.queues[stage.name] or bus.put_aside[stage.name] for stage in STAGES
        )

    async def quiet(self) -> None:
        """Returns when no message waits and nothing runs; time goes on until then."""
        while not self.is_quiet():
            self._quiet = self._scene.loop.create_future()
            await self._quiet

    # -------------------------------------------------------------------------------------------- handing out

    def _hand_out(self) -> None:
        self._poked = False
        if not any(machine.alive for machine in self.machines):
            return
        bus, now = self._scene.app.bus, self._scene.true.now()
        for stage in STAGES:
            if bus.queues[stage.name]:
                for held in list(self._next_of_sessions(stage, now)):
                    self._hand(stage, held)
            for held in bus.put_aside[stage.name]:
                if held.sequence not in self._collecting:
                    self._start_collecting(stage, held)
        self._wake_when_due(now)

    def _start_collecting(self, stage: Stage, held: Held) -> None:
        """What fails is tried again after a while."""
        self._collecting.add(held.sequence)
        task = self._run(self._handling(f"collect {stage.name}", None), lambda: self._collect(stage, held))
        task.add_done_callback(lambda _: self._scene.loop.call_later(60, self._collect_again, held))

    def _next_of_sessions(self, stage: Stage, now: datetime) -> Iterator[Held]:
        """The first message of each session that nobody has."""
        first: dict[str | None, Held] = {}
        for held in self._scene.app.bus.queues[stage.name]:
            session = held.envelope.session
            if held.enqueued <= now and (session not in first or held.enqueued < first[session].enqueued):
                first[session] = held
        return (held for session, held in first.items() if (stage.name, session) not in self.locks)

    def _wake_when_due(self, now: datetime) -> None:
        queues = self._scene.app.bus.queues
        due = min(
            (held.enqueued for stage in STAGES for held in queues[stage.name] if held.enqueued > now),
            default=None,
        )
        if self._timer is not None and self._due != due:
            self._timer.cancel()
            self._timer = None
        if due is not None and self._timer is None:
            wait = (due - now + timedelta(microseconds=1)).total_seconds()
            self._timer = self._scene.loop.call_later(wait, self._wake)
        self._due = due

    def _wake(self) -> None:
        self._timer = None
        self.poke()

    def _hand(self, stage: Stage, held: Held) -> None:
        held.deliveries += 1
        data = read_envelope(held.envelope.body).get("data") or {}
        handling = self._handling(f"{stage.name} {held.envelope.message_id}", held.envelope.session)
        handling.message, handling.ends = held, data.get("change") in ("withdrawn", "requested")
        self.locks[stage.name, held.envelope.session] = handling
        if self.complete_first:
            self._scene.app.bus.complete(stage, held)
        self._run(handling, lambda: self._handle(stage, held, handling))

    # ------------------------------------------------------------------------------------------------ running

    def _handling(self, label: str, team: str | None) -> Handling:
        alive = [machine for machine in self.machines if machine.alive] or self.machines
        return Handling(self._scene.chance.choice(alive), label, team, self._scene.loop.time())

    def _run(self, handling: Handling, step: Step) -> asyncio.Task[None]:
        task = self._scene.loop.create_task(self._guarded(handling, step))
        self.underway[task], handling.machine.tasks[task] = handling, None
        task.add_done_callback(lambda done: self._ended(handling, done))
        return task

    def _ended(self, handling: Handling, task: asyncio.Task[None]) -> None:
        del self.underway[task], handling.machine.tasks[task]
        self.poke()
        if self._quiet is not None and not self._quiet.done() and self.is_quiet():
            self._quiet.set_result(None)

    async def _guarded(self, handling: Handling, step: Step) -> None:
        current.set(handling)
        if not handling.machine.alive:
            return
        try:
            await step()
        except MergekeyError as error:
            self._scene.note(handling, f"flew: {error}")
        except Exception as error:  # whatever it is, it is a finding
            self._scene.fail(0, f"{handling}: {type(error).__name__}: {error}")

    async def _handle(self, stage: Stage, held: Held, handling: Handling) -> None:
        try:
            await settle(self._scene.app, stage, held.received(), WORK[stage])
            # Completing is a remote call as well: the machine can die before it or during it.
            await self._scene.app.calls.before(
                Call("host", "complete", held.envelope.message_id, writes=True)
            )
        except MergekeyError:
            self._remember_no_copy(handling)
            self.lose_lock(handling)
            raise
        if handling.locked and handling.machine.alive:
            handling.locked = False
            del self.locks[stage.name, held.envelope.session]
            if not self.complete_first:
                self._scene.app.bus.complete(stage, held)

    async def _collect(self, stage: Stage, held: Held) -> None:
        envelope = held.envelope
        properties = {**envelope.properties, **TOO_OFTEN}
        received = IncomingMessage(
            envelope.body,
            envelope.message_id,
            envelope.session,
            held.enqueued,
            properties,
            MOST_DELIVERIES,
            *TOO_OFTEN.values(),
        )
        await collect(self._scene.app, stage, received)
        self._scene.app.bus.put_aside[stage.name].remove(held)

    def _collect_again(self, held: Held) -> None:
        self._collecting.discard(held.sequence)
        self.poke()

    async def _take_push(self, push: Push) -> None:
        status, text = await settle_push(self._scene.app, push)
        self.answers[push.delivery] = status
        self._scene.note("GitHub", f"{push.delivery} answered with {status}: {text}")

    async def _replay(self, sequences: list[int]) -> None:
        await dead_letters.replay(self._scene.app, dead_letters.Command(sequences, "an operator"))

    async def _start_sweep(self) -> None:
        await start_sweep(self._scene.app, "the timer")

    def _start_machine(self, index: int, machine: Machine) -> None:
        self.machines[index] = machine
        self.poke()
