"""A version of the app over a snapshot: what it writes on its first day, and what is there afterwards.

The test runs this checkout's app. Any other one, such as that of the release before, is run over the same
snapshot by hand, and the exit status says whether it wrote what it should:

    git worktree add /tmp/before v0.1.0
    .venv/bin/python -m tests.upgrade.upgrade --code /tmp/before

Only the app is the other checkout's, in a process of its own; the stand-ins are ours. As the first day of one
version leaves the snapshot as it was, this is also the old code over what the new code left: the way back.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from azure.identity import ManagedIdentityCredential

from standins.identity import IDENTITY_HEADER
from standins.stack import APIM_ID, AUDIENCE, FEW_SESSIONS, Stack, ask, wait_until
from standins.world import Call
from tests.conftest import ROOT
from tests.end_to_end.road import Road
from tests.end_to_end.written import Clone
from tests.upgrade import snapshot
from tests.upgrade.snapshot import Snapshot, as_written

DATA = Path(__file__).parent / "data" / "snapshot.json.xz"
#: Instead of stand-ins' addresses, which would differ from run to run; and so that a hand-over outlasts the
#: day.
SETTINGS = {
    "GATEWAY_URL": "https://ai.contoso.com",
    "WORKSPACE_INGRESS_URL": "https://models.internal.contoso.com",
    "KEY_OVERLAP_HOURS": "72",
}
HOUR = 3600.0

#: Calls that are no writes, by their first word: whatever is not named here is one. A stage takes what it has
#: done off the bus.
_READING = {"GET", "HEAD", "LIST", "accept", "complete", "peek", "put-token", "receive", "renew"}
#: The same by all of their words. Statuses beside a commit are sent in the background, for people alone.
_READING_TOO = {
    "POST access token",
    "POST cluster listClusterUserCredential",
    "POST status",
    "POST subscription listSecrets",
    "set up app",
    "set up repository",
    "set up token",
}

#: Of every sweep: itself. A team that differs and has a letter (`letter`, `a-strangers`) gets no message: its
#: letter is about the only stage that has something of it. The version that made the snapshot sent it to the
#: others too, which found nothing to do.
_OF_A_SWEEP = {"service-bus: send sweeps": 1}
#: The first sweep after the app has started says once more who is held.
_IS_HELD = {"github: POST check run": 1}
#: The policies of this release are other texts (CHANGELOG.md): each is written once, and the marker that
#: belongs to it. Most teams have messages on their way; one more is written by the first sweep.
#: One policy and one marker of them are the platform's own product's.
_TEAMS_ANEW = {"resource-manager: PUT product policy": 11, "resource-manager: PATCH product": 11}
_CATALOGUE_ANEW = {
    "resource-manager: PUT policy fragment": 1,
    "resource-manager: PUT backend": 3,
    "resource-manager: PUT api policy": 2,
    "resource-manager: PATCH api": 2,
}
_ONE_MORE_ANEW = {
    "service-bus: send access-changes": 13,
    "service-bus: send deliver-keys": 11,
    "resource-manager: PUT product api": 11,
    "resource-manager: PUT product policy": 1,
    "resource-manager: PATCH product": 1,
}
#: Operations that this release adds to the API, which is imported anew for them.
_ADDED = (
    "deployment-completions", "deployment-images-generations", "deployment-responses", "delete-other",
    "get-other", "model", "models", "post-other", "responses", "v1-completions", "v1-images-generations",
    "v1-model", "v1-models", "v1-responses",
)  # fmt: skip
_OF_THE_API = (
    "resource-manager/apis/{api}/operations//subscriptions/00000000-0000-4000-8000-000000000001"
    "/resourcegroups/ai/providers/microsoft.apimanagement/service/contoso-ai/apis/ai/operations"
)
#: The second API with its policy and marker, and the platform's own product with all that belongs to it,
#: come with the catalogue; each team's link comes with a sweep.
_BEARER = {
    "resource-manager: PUT api": 2,
    "resource-manager: PUT product": 1,
    "resource-manager: PUT product api": 1,
    "resource-manager: PUT subscription": 1,
    "resource-manager: DELETE subscription": 1,
}
#: The teams with access, most of which are linked by the first sweep.
_LINKED = (
    "config-map", "doubled", "handed-over", "many-models", "moved", "one-model", "own-gpu", "playground",
    "read-by-group", "short-form", "unlimited",
)  # fmt: skip
_SERVICE = APIM_ID.lower()
_OPERATIONS = (
    *_ADDED, "deployment-chat-completions", "deployment-embeddings", "v1-chat-completions", "v1-embeddings",
)  # fmt: skip
_NEW = (
    f"apis/{_SERVICE}/apis/ai-bearer",
    *(f"apis/{{api}}/operations/{_SERVICE}/apis/ai-bearer/operations/{name}" for name in _OPERATIONS),
    f"policies/{_SERVICE}/apis/ai-bearer/policies/policy",
    f"policies/{_SERVICE}/products/mergekey-probe/policies/policy",
    f"products/{_SERVICE}/products/mergekey-probe",
    f"subscriptions/{_SERVICE}/subscriptions/mergekey-probe",
    f"product-apis/{_SERVICE}/products/mergekey-probe/apis/ai-bearer",
    *(f"product-apis/{_SERVICE}/products/team-{team}/apis/ai-bearer" for team in _LINKED),
)
#: Rows that are others after the first day, by table, and those that are new.
CHANGED = {
    **{f"resource-manager/{row}: new": 1 for row in _NEW},
    **{f"{_OF_THE_API}/{name}: new": 1 for name in _ADDED},
    "apis": 5,
    "backends": 3,
    "policies": 12,
    "policyFragments": 1,
    "products": 11,
    "objects": 2,
    "field_owners": 2,
}
#: What was seen of two roads is noted at their routes; they cannot be asked from here.
_ROADS = {"kubernetes: PATCH httproute": 2}
#: Besides this the version that made the snapshot, too, writes nothing in Azure, in the cluster and in Git on
#: such a day. The messages on their way are about twelve teams that have access or had it; of each the
#: gateway's stage asks for the keys.
SETTLED: Mapping[str, Mapping[str, int]] = {
    "messages on their way": {
        "service-bus: send deliver-keys": 12,
        **_TEAMS_ANEW,
        **_CATALOGUE_ANEW,
        **_BEARER,
        **_ROADS,
    },
    "report only": {"service-bus: send sweeps": 1, **_IS_HELD},
    "first sweep": {**_OF_A_SWEEP, **_IS_HELD, **_ONE_MORE_ANEW},
    "deep sweep": _OF_A_SWEEP,
    "sweep in hour 12": _OF_A_SWEEP,
    "deep sweep in hour 23": _OF_A_SWEEP,
}
#: What is to be done later, because the snapshot says so: the primary key of `handed-over` is made new when
#: its time is over; after a week `lapsed` and `withdrawn` are deleted, and what the letters are about is
#: tried once more, of which the stranger's product is refused again.
LATER: Mapping[str, Mapping[str, int]] = {
    "a key is handed over": {
        "resource-manager: POST subscription regeneratePrimaryKey": 1,
        "key-vault: PUT secret": 1,
    },
    "sweep after a week": {
        "service-bus: send sweeps": 1,
        "service-bus: send access-changes": 4,
        "service-bus: schedule access-changes": 1,
        "service-bus: send deliver-keys": 3,
        "service-bus: send dead-letters": 1,
        "resource-manager: PUT product policy": 1,
        "resource-manager: PUT product api": 1,
        "resource-manager: PATCH product": 1,
        "resource-manager: DELETE product": 2,
        "resource-manager: DELETE subscription": 2,
        "resource-manager: DELETE role assignment": 6,
        "resource-manager: DELETE foundry project": 1,
        "key-vault: DELETE secret": 6,
    },
}
WRITES = {**SETTLED, **LATER}
#: What the broker remembers of messages that are gone: how far it has counted, which ids it has seen. Long
#: writes that are over. And the roles that the deployment defines before the app starts.
_NO_STATE = (
    "service-bus/counters/",
    "service-bus/history/",
    "resource-manager/operations that were begun/",
    "role-definitions/",
)
#: Where messages wait for a stage: whatever waited there was handled.
_ON_THEIR_WAY = ("service-bus/messages/access-changes/",)


@dataclass(frozen=True)
class Days:
    """What a version wrote in each part of its first days, and what was different after the first one, but
    for what a cluster's controllers make.
    """

    writes: Mapping[str, Mapping[str, int]]
    differences: tuple[str, ...]

    @property
    def changed(self) -> Mapping[str, int]:
        """How many rows of each table are others; a row that is new or gone stands for itself."""
        return Counter(_table(each) for each in self.differences)

    @property
    def is_as_expected(self) -> bool:
        return self.writes == WRITES and self.changed == CHANGED


def _table(difference: str) -> str:
    """The table of a row that changed, else the whole text."""
    row, _, what = difference.rpartition(": ")
    return row.split("/")[1] if what == "changed" else difference


def stack_of(folder: Path, code: Path, **settings: str) -> Stack:
    return Stack(folder, code, {**SETTINGS, **FEW_SESSIONS, **settings})


def first_days(code: Path, before: Snapshot, folder: Path) -> Days:
    """Begin with reports only, as an upgrade does, and with the messages that the version before had on their
    way. Then sweep, sweep deeply, and so on for 23 hours: after a day sweeps try once more what waits among
    the letters. Then let what was promised for later come due.
    """
    snapshot.bring_back(before, folder)
    with stack_of(folder, code, SWEEP_REPORT_ONLY="true") as stack, trusted(stack):
        run = _Run(stack)
        run.part("messages on their way", run.road.settle)
        run.part("report only", run.road.sweep)
        stack.overrides["SWEEP_REPORT_ONLY"] = "false"
        stack.restart_host()
        run.part("first sweep", run.road.sweep)
        run.part("deep sweep", run.sweep_deeply)
        run.wait_for(before.now + 12 * HOUR)
        run.part("sweep in hour 12", run.road.sweep)
        run.wait_for(before.now + 23 * HOUR)
        run.part("deep sweep in hour 23", run.sweep_deeply)
        after = snapshot.take(folder, "", stack.control.now())
        run.wait_for(before.now + 73 * HOUR)
        run.part("a key is handed over", run.road.settle)
        run.wait_for(before.now + 8 * 24 * HOUR)
        run.part("sweep after a week", run.road.sweep)
        run.road.close()
    return Days(run.writes, tuple(differences(as_written(before), as_written(after))))


class _Run:
    """A running version, and what it wrote so far."""

    def __init__(self, stack: Stack) -> None:
        self.road = Road(stack, Clone(stack.git_url, stack.folder / "clone"))
        self.writes: dict[str, Mapping[str, int]] = {}
        self._stack = stack

    def part(self, name: str, act: Callable[[], None]) -> None:
        """One part of the days: what it does, and all that follows."""
        act()
        calls = self._stack.control.calls()
        self._stack.control.forget_calls()
        self.writes[name] = dict(Counter(f"{call.server}: {call.kind}" for call in calls if _is_write(call)))

    def wait_for(self, moment: float) -> None:
        """What comes back by itself meanwhile belongs to the part that follows."""
        self.road.advance(moment - self._stack.control.now())

    def sweep_deeply(self) -> None:
        """As `mergekey sweep --deep` asks for it."""
        swept = self._swept()
        operator = ManagedIdentityCredential(client_id="olivia.Operator")
        token = operator.get_token(f"{AUDIENCE}/.default").token
        url, signed = f"{self._stack.host_url}/api/sweeps", {"Authorization": f"Bearer {token}"}
        ask("POST", url, {"deep": True}, signed)
        wait_until("the sweep is over", lambda: self._swept() > swept)
        self.road.settle()

    def _swept(self) -> int:
        return sum(call.function == "sweep" for call in self._stack.invocations())


def _is_write(call: Call) -> bool:
    return call.kind.split()[0] not in _READING and call.kind not in _READING_TOO


def differences(before: Snapshot, after: Snapshot) -> Iterator[str]:
    """Rows that are new, gone or changed, as `resource-manager/products/<id>`, and repositories."""
    old, new = _flat(before), _flat(after)
    for name in sorted(old.keys() | new.keys()):
        handled = name not in new and name.startswith(_ON_THEIR_WAY)
        if old.get(name) != new.get(name) and not name.startswith(_NO_STATE) and not handled:
            yield f"{name}: {'new' if name not in old else 'gone' if name not in new else 'changed'}"


def _flat(state: Snapshot) -> dict[str, Any]:
    found = {f"repositories/{name}": stream for name, stream in state.repositories.items()}
    for name, tables in state.tables.items():
        for table, rows in tables.items():
            found.update({f"{name}/{table}/{key}": row for key, row in rows.items()})
    return found


@contextmanager
def trusted(stack: Stack) -> Iterator[None]:
    """SDKs in this process sign in at the stack's own identity server."""
    endpoint = f"{stack.addresses['identity']}/msi/token"
    wanted = {"IDENTITY_ENDPOINT": endpoint, "IDENTITY_HEADER": IDENTITY_HEADER}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def main() -> int:
    shown = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=shown)
    parser.add_argument("--code", type=Path, default=ROOT, help="the checkout whose app is run")
    parser.add_argument("--snapshot", type=Path, default=DATA, help="another snapshot")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        days = first_days(options.code.resolve(), snapshot.load(options.snapshot), Path(folder))
    for part, writes in days.writes.items():
        expected = WRITES.get(part)
        print(f"{part}: {writes}{'' if writes == expected else f', and not {expected}'}")
    print("\n".join(days.differences) or "after the first day everything is as it was")
    return 0 if days.is_as_expected else 1


if __name__ == "__main__":
    sys.exit(main())
