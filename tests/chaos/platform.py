"""The platform that chaos comes over: stand-ins and host as processes, teams with and without GPUs, a
stranger's objects between them.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from azure.servicebus import ServiceBusMessage

from shared.messaging.messages import CONTENT_TYPE, Sweep
from standins.faults import Fault
from standins.identity import IDENTITY_HEADER
from standins.stack import CLUSTER_ID, Stack, wait_until
from standins.world import Call
from tests.chaos import strangers
from tests.chaos.people import People
from tests.cluster.control_plane import API_SERVER
from tests.cluster.real import RealCluster, StandInsAt, real_cluster, with_this_release
from tests.conftest import ROOT
from tests.end_to_end.road import Road
from tests.end_to_end.written import CATALOG_PATH, GPU, Clone

MINUTE = 60.0
#: Teams in the beginning; every fourth has a GPU of its own.
TEAMS = 14
#: After trouble the clock is moved by this until nothing is under way any more: the longest waits are an hour
#: (withdrawn workspaces, keys of another group).
_STEP, _MOST_STEPS = 5 * MINUTE, 60
#: What the webhooks' options are when all is well.
_PROMPT = {"webhook_delay": 0, "webhook_copies": 1, "webhook_hold": 0}
#: Answers that only trouble gives.
_STRUCK = {
    0: "connections cut",
    429: "answers 429",
    500: "answers 500",
    502: "answers 502",
    503: "answers 503",
    504: "answers 504",
}
#: What a host says that has done its work and lost its message to another one meanwhile.
_TOO_LATE = "a message could not be settled and will come again"


@dataclass
class Platform:
    """`road` reads the services as people's SDKs do; `calls` are those noted so far, `killed` are
    processes, `foreign` is what the strangers had before, `first_keys` are those of the teams of the
    beginning, `real` is the real cluster in place of the stand-in for it, if there is one.
    """

    stack: Stack
    road: Road
    people: People
    foreign: dict[str, Any] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    first_keys: dict[str, tuple[str, str]] = field(default_factory=dict)
    killed: Counter[str] = field(default_factory=Counter)
    real: RealCluster | None = None
    _sweeps: int = 0

    # Trouble

    def fault(self, fault: Fault) -> None:
        self.stack.control.fault(**vars(fault))

    def note_calls(self) -> None:
        """The list of calls does not outlive the stand-ins' process."""
        self.calls += self.stack.control.calls()
        self.stack.control.forget_calls()

    def wait_for(self, kind: str, times: int = 1) -> None:
        """Until a call of this kind has been answered so often since calls were noted last."""
        wait_until(
            f"{times} x {kind}",
            lambda: sum(call.kind == kind for call in self.stack.control.calls()) >= times,
        )

    def kill(self, host: subprocess.Popen[str]) -> bool:
        """With SIGKILL. Whether messages are under way that nobody else has finished."""
        host.kill()
        host.wait()
        self.killed["hosts killed"] += 1
        return self.under_way() > 0

    def kill_host(self) -> bool:
        """The one that GitHub's webhooks reach."""
        return self.kill(self.stack.host)

    def kill_standins(self) -> bool:
        """And start them again. Whether messages were under way."""
        busy = self.under_way() > 0
        self.note_calls()
        self.stack.restart_standins(kill=True)
        self.killed["services killed"] += 1
        return busy

    @property
    def cluster(self) -> RealCluster:
        """The real one, in a scenario that has it."""
        assert self.real is not None, "this scenario needs a real cluster"
        return self.real

    def kill_in_cluster(self, *parts: str) -> bool:
        """Parts of the real cluster, all at once. Whether messages were under way."""
        busy = self.under_way() > 0
        for part in parts:
            self.cluster.plane.kill(part)
            self.killed[f"{part} killed"] += 1
        return busy

    @property
    def struck(self) -> Counter[str]:
        """Faults that calls met, processes killed, and pushes that GitHub told of not at all or more than
        once, by kind.
        """
        told = Counter(row["guid"] for row in self.road.deliveries())
        astray = len(self.people.pushes) - len(told) + sum(times > 1 for times in told.values())
        met = Counter(_STRUCK[call.status] for call in self.calls if call.status in _STRUCK)
        late = (self.stack.folder / "functions-host.log").read_text().count(_TOO_LATE)
        return self.killed + met + Counter({"webhooks astray": astray, "locks lost": late})

    @property
    def messages(self) -> int:
        """That Service Bus took."""
        return sum(call.kind.startswith(("send ", "schedule ")) and call.status == 200 for call in self.calls)

    def unanswered(self) -> bool:
        """Whether the last webhook was not taken in."""
        *_, last = self.road.deliveries()
        return bool(last["status_code"] != 202)

    def redeliver(self) -> None:
        """Press GitHub's button for every delivery that has failed and was not delivered again."""
        self._announced()
        rows = self.road.deliveries()
        for guid in {row["guid"] for row in rows} - {
            row["guid"] for row in rows if row["status_code"] == 202
        }:
            self.stack.github("POST", f"/_standin/deliveries/{guid}/redeliver")

    # Time

    def calm(self) -> None:
        """The trouble is over."""
        self.stack.control.forget_faults()
        self.stack.control.use_latency("none")
        self.stack.control.set_options("github", **_PROMPT)

    def settle(self) -> None:
        """Wait until all that is due is done."""
        self._announced()
        self.road.settle()

    def _announced(self) -> None:
        """Wait until the app, or nobody, has taken in every push."""
        spool = self.stack.folder / "repositories" / ".pushes"
        wait_until("every push is announced", lambda: not list(spool.iterdir()))
        wait_until(
            "every webhook is answered",
            lambda: all(row["status_code"] is not None for row in self.road.deliveries()),
        )

    def advance(self, seconds: float) -> None:
        """Move the clock; what becomes due begins, and is not waited for, but for the controllers of a real
        cluster: they take real time.
        """
        if self.real is not None and API_SERVER in self.real.plane.processes:
            self.real.advance(seconds)
        else:
            self.stack.control.advance(seconds)
        self.stack.control.now()

    def converge(self) -> None:
        """Move the clock until nothing is under way and nothing waits."""
        for _ in range(_MOST_STEPS):
            self.advance(_STEP)
            self.settle()
            if not self.scheduled():
                return
        raise TimeoutError(
            f"after {_MOST_STEPS * _STEP / 3600:.0f} hours {self.scheduled()} messages still wait"
        )

    def under_way(self) -> int:
        return self._messages("= 0")

    def scheduled(self) -> int:
        return self._messages("= 2")

    def _messages(self, state: str) -> int:
        count = (
            f"SELECT count(*) FROM messages WHERE json_extract(value, '$.state') {state} AND key NOT LIKE "
            "'dead-letters|%'"
        )
        with closing(
            sqlite3.connect(f"file:{self.stack.folder / 'service-bus.sqlite'}?mode=ro", uri=True)
        ) as bus:
            return int(bus.execute(count).fetchone()[0])

    # What an operator asks for

    def start_sweep(self) -> str:
        """Queue a deep look at everything; returns the message's id."""
        self._sweeps += 1
        name = f"deep-{self._sweeps}"
        body = Sweep(why="chaos", deep=True).encode(name, "/chaos", datetime.now(UTC))
        message = ServiceBusMessage(body, message_id=name, session_id="sweep", content_type=CONTENT_TYPE)
        self.road.sender("sweeps").send_messages(message)
        return name

    def sweep(self) -> set[str]:
        """Look deeply at everything, and wait until all that follows is done. The teams that were not as they
        should be.
        """
        name = self.start_sweep()
        wait_until("the sweep is over", lambda: ("sweep", name) in self.handled())
        self.converge()
        return {message.split("/")[1] for _, message in self.handled() if message.startswith(f"{name}/")}

    def handled(self) -> set[tuple[str, str]]:
        """Function and message id of every invocation that ended well."""
        return {
            (call.function, call.message_id)
            for call in self.stack.invocations()
            if call.outcome == "ok" and call.message_id
        }


@contextmanager
def fresh(folder: Path, real: bool = False, settings: Mapping[str, str] | None = None) -> Iterator[Platform]:
    """Stand-ins and host that know nothing yet, with a real cluster if wanted. Raises `build.Absent`."""
    with (
        Stack(folder, ROOT, settings={"KEY_OVERLAP_HOURS": "1", **(settings or {})}) as stack,
        _identity_of(stack),
        ExitStack() as ends,
    ):
        cluster = ends.enter_context(_real_cluster(stack)) if real else None
        road = Road(stack, Clone(stack.git_url, folder / "clone"))
        ends.callback(road.close)
        yield Platform(stack, road, People(road.clone, 0), real=cluster)


def _real_cluster(stack: Stack) -> AbstractContextManager[RealCluster]:
    at = StandInsAt(stack.control, stack.addresses, stack.ca)
    return real_cluster(at, stack.folder / "cluster", CLUSTER_ID.rpartition("/")[2])


@contextmanager
def platform(folder: Path, seed: int, teams: int = TEAMS, real: bool = False) -> Iterator[Platform]:
    """Everything provisioned and quiet, before the trouble begins."""
    with fresh(folder, real) as place:
        road = place.road
        place.people = People(road.clone, seed)
        _write_catalog(road.clone, real)
        for number in range(teams):
            place.people.join(None if number % 4 else GPU)
        place.people.push()
        place.settle()
        place.converge()
        strangers.settle_in(road)
        place.advance(20 * MINUTE)  # a stranger's GPU needs its time too
        place.foreign = strangers.seen(road)
        place.first_keys = {team: road.issued_keys(team) for team in place.people.present}
        place.stack.control.forget_calls()
        yield place


def _write_catalog(clone: Clone, real: bool) -> None:
    """The example's, with as many GPUs as people may want, and with a real cluster's release of KAITO."""
    shutil.copytree(ROOT / "examples" / "access-repo" / "platform", clone.path / "platform")
    catalog = clone.path / CATALOG_PATH
    text = catalog.read_text().replace("total: 3", "total: 500")
    catalog.write_text(with_this_release(text) if real else text)


@contextmanager
def _identity_of(stack: Stack) -> Iterator[None]:
    """The SDKs in this process ask this set's identity for tokens."""
    named = {
        "IDENTITY_ENDPOINT": f"{stack.addresses['identity']}/msi/token",
        "IDENTITY_HEADER": IDENTITY_HEADER,
    }
    before = {name: os.environ.get(name) for name in named}
    os.environ.update(named)
    try:
        yield
    finally:
        os.environ.update({name: text for name, text in before.items() if text is not None})
