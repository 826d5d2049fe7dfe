"""What all stand-ins share: the folder, the clock, the list of calls, the trouble ordered, the options, the
certificates.
"""

from __future__ import annotations

import sys
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from standins.clock import Clock
from standins.faults import Fault, Trouble, When
from standins.store import Store, Table

#: Accounts that the stand-ins accept. They protect nothing: every server listens on a loopback address only.
TENANT = "11111111-1111-4111-8111-111111111111"
SUBSCRIPTION = "00000000-0000-4000-8000-000000000001"

#: Calls that are kept for whoever asks for them; the older ones are forgotten.
_CALLS = 500_000


@dataclass(frozen=True, slots=True)
class Call:
    """One request a stand-in answered. `kind` is the operation, for instance `PUT product` or
    `send access-changes`.

    `at` is the clock's time at the end in seconds since 1970, `seconds` how long it took in real time.
    """

    server: str
    kind: str
    target: str
    status: int
    at: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Right:
    """What a caller needed for something that it was allowed to do.

    `who` is its object id, or the name of its shared access key. `needed` is an action of Resource Manager or
    Key Vault (`Microsoft.KeyVault/vaults/secrets/setSecret/action`), a claim of Service Bus (`Send`), verb
    and resource of Kubernetes (`patch kaito.sh/workspaces`), or permission and level of a GitHub App
    (`checks write`); `where` the id, the entity or the namespace.
    """

    server: str
    who: str
    needed: str
    where: str


@dataclass(frozen=True)
class Exchange:
    """A whole HTTP request and its answer, to be checked against the vendor's description of the interface.

    Header names are in lower case, credentials are left out; bodies are text, None where there is none or it
    is not text. A webhook is an exchange too: `path` is empty, and the body is what was sent.
    """

    number: int
    server: str
    kind: str
    method: str
    path: str
    request_headers: Mapping[str, str]
    request_body: str | None
    status: int
    answer_headers: Mapping[str, str]
    answer_body: str | None
    injected: bool = False


@dataclass(frozen=True)
class Report:
    """What a server noted that no request of the real service tells: `read` it, or `forget` it."""

    read: Callable[[], Mapping[str, Any]]
    forget: Callable[[], None]


class Options:
    """How one server behaves, by name; what was changed is kept in the folder."""

    def __init__(self, defaults: Mapping[str, Any], changed: Table) -> None:
        self.defaults = defaults
        self._changed = changed

    def __getitem__(self, name: str) -> Any:
        return self._changed.get(name, self.defaults[name])

    def change(self, wishes: Mapping[str, Any]) -> None:
        """Raises ValueError for a name that is no option; then nothing is changed."""
        if unknown := sorted(wishes.keys() - self.defaults.keys()):
            raise ValueError(
                f"no option of this server: {', '.join(unknown)}; there are {', '.join(self.defaults)}"
            )
        for name, value in wishes.items():
            self._changed[name] = value

    def all(self) -> dict[str, Any]:
        return {**self.defaults, **self._changed}


@dataclass
class World:
    """One set of stand-ins. `addresses` maps a server's name to its base URL (or `host:port` for Service
    Bus).

    `exchanges` is None unless they shall be recorded; the oldest are forgotten.
    """

    folder: Path
    clock: Clock = field(default_factory=Clock)
    addresses: dict[str, str] = field(default_factory=dict)
    calls: deque[Call] = field(default_factory=lambda: deque(maxlen=_CALLS))
    #: Each right that was used since they were forgotten, once.
    rights: set[Right] = field(default_factory=set)
    trouble: Trouble = field(default_factory=Trouble)
    exchanges: deque[Exchange] | None = None
    options: dict[str, Options] = field(default_factory=dict)
    #: By server, for the control interface.
    reports: dict[str, Report] = field(default_factory=dict)
    #: What a server holds, for another one that works with the same: tables are kept in memory, so both must
    #: have one object.
    parts: dict[str, Any] = field(default_factory=dict)
    #: Another one after every start, so that a client can tell.
    run: str = field(default_factory=lambda: uuid.uuid4().hex)
    _exchanged: int = 0

    def __post_init__(self) -> None:
        self._kept = self.store("world").table("clock")
        self.clock.offset = float(self._kept.get("offset", 0.0))

    def advance(self, seconds: float) -> None:
        """Move the clock forward, for this run and, since the state keeps its dates, for later ones."""
        self.clock.advance(seconds)
        self._kept["offset"] = self.clock.offset

    def store(self, name: str) -> Store:
        return Store(self.folder / f"{name}.sqlite")

    def options_of(self, server: str, defaults: Mapping[str, Any]) -> Options:
        """Declare what can be changed about a server; the control interface changes it
        (`/_standin/options/<server>`).
        """
        self.options[server] = Options(defaults, self.store("options").table(server))
        return self.options[server]

    def record(self, server: str, kind: str, target: str, status: int, started: float) -> None:
        """Note a call. `started` is from `time.perf_counter()`."""
        self.calls.append(Call(server, kind, target, status, self.clock.now(), time.perf_counter() - started))

    def record_exchange(self, **parts: Any) -> None:
        """Note a whole exchange, where they are wanted; the parts are those of `Exchange`, without the
        number.
        """
        if self.exchanges is not None:
            self._exchanged += 1
            self.exchanges.append(Exchange(self._exchanged, **parts))

    def take_fault(self, server: str, kind: str, when: When) -> Fault | None:
        """The fault that this call shall meet, used up by one."""
        return self.trouble.take(server, kind, when)

    def loud(self, server: str, text: str) -> None:
        """Say on standard error what a stand-in refused because it does not know it."""
        print(f"[{server}] {text}", file=sys.stderr, flush=True)


def as_json(noted: Call | Exchange | Right) -> Mapping[str, Any]:
    return asdict(noted)
