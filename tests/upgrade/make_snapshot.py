"""Make the snapshot: `.venv/bin/python -m tests.upgrade.make_snapshot FILE`. It takes some minutes.

The stand-ins and the app run as in `make demo`; a story of nine days of the stand-ins' clock is told, and
when nothing moves any more the state is written down. Keys in it were made up by the stand-ins and open
nothing.

The clock is that of the year 2041, because the app judges by the later of its machine's clock and the moment
at which Service Bus took the message: so the snapshot holds, whenever the test runs.

A new snapshot is made only when there is a new state of the world to keep. It is made by a version that was
released, since what it proves is that the next one leaves alone what that one wrote.
"""

from __future__ import annotations

import argparse
import base64
import tempfile
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from azure.mgmt.apimanagement.models import ProductContract, ProductUpdateParameters

from standins.service_bus.message import PROPERTY_INDEX, Message
from standins.stack import APIM_ID, Stack, wait_until
from tests.conftest import ROOT
from tests.end_to_end.road import DAY, Push, Road
from tests.end_to_end.written import CATALOG_PATH, Clone
from tests.upgrade import snapshot
from tests.upgrade.teams import AT_FIRST, CATALOG, CROWD, ELSEWHERE, GROUPS, USUAL, simple
from tests.upgrade.upgrade import stack_of, trusted

#: The functions that take messages from the bus.
PROVISIONING = ("provision_catalog", "provision_gateway", "provision_workspaces", "provision_projects")
WORKERS = ("sweep", *PROVISIONING, "deliver_keys")
#: Pushes that were acted on long ago, and whose messages change nothing any more.
DELIVERED_AGAIN = ("The catalogue", "One goes, and is let go")
#: Teams whose messages from a push would have work to do: one more letter, one more wait, also for a newer
#: version, or one more try, which would do what the letter is about.
TRIED_AGAIN = {"letter", "a-strangers", "handed-over", "newer"}
BEGINNING = datetime(2041, 3, 4, 9, 0, tzinfo=UTC)
HOUR = 3600.0
_AT = APIM_ID.split("/")[4], APIM_ID.split("/")[-1]


class DatedClone(Clone):
    """A working copy whose commits have the moment of the stand-ins' clock."""

    def __init__(self, stack: Stack) -> None:
        self.control = stack.control
        super().__init__(stack.git_url, stack.folder / "clone")

    def git(self, *arguments: str) -> str:
        person = {"NAME": "Ada", "EMAIL": "ada@contoso.com", "DATE": f"{int(self.control.now())} +0000"}
        both = ("AUTHOR", "COMMITTER")
        signed = {f"GIT_{who}_{what}": value for who in both for what, value in person.items()}
        return snapshot.git(self.path, *arguments, environment=signed).strip()


class Story:
    """Ten days, chapter by chapter."""

    def __init__(self, road: Road, clone: Clone) -> None:
        self._road = road
        self._clone = clone
        self._pushes: dict[str, Push] = {}

    def tell(self) -> None:
        self._everybody_asks()
        self._one_is_forgotten_and_one_lapses()
        self._some_are_held()
        self._hands_of_others()
        self._slips_of_the_pen()
        self._the_last_hour()
        self._on_their_way()

    def _push(self, what: str) -> None:
        push = self._pushes[what] = self._road.push(what)
        now = datetime.fromtimestamp(self._road.stack.control.now(), UTC)
        print(f"{now:%d. %H:%M:%S} {what}: {push.answer}", flush=True)

    def _pass(self, *seconds: float) -> None:
        for each in seconds:
            self._road.advance(each)

    def _settle(self) -> None:
        """Sweeps, and time for what comes back."""
        for _ in range(3):
            self._road.sweep()
            self._pass(61, 361)

    def _everybody_asks(self) -> None:
        for secret in ("anthropic-key", "content-safety"):
            self._road.vault.set_secret(secret, "the-platforms-key")
        self._clone.write_text(CATALOG_PATH, CATALOG)
        self._push("The catalogue")
        self._pass(61, 361, 361)
        for path, text in AT_FIRST.items():
            self._clone.write_text(path, text)
        self._push("Everybody asks")
        self._pass(11, 361, 361, 721, 361)
        self._settle()

    def _one_is_forgotten_and_one_lapses(self) -> None:
        self._clone.remove("gone-for-good")
        self._push("One goes for good")
        self._pass(8 * DAY)
        self._settle()

    def _some_are_held(self) -> None:
        for team in ("held-gone", "held-junk", *CROWD):
            (self._clone.path / USUAL.format(team)).unlink()
        self._clone.write_text(ELSEWHERE.format("held-junk"), "oops\n")
        self._push("Too many go")
        self._settle()
        for team in CROWD:
            path = ELSEWHERE.format(team) if team == "moved" else USUAL.format(team)
            self._clone.write_text(path, AT_FIRST[USUAL.format(team)])
        self._push("Most come back, one at another place")
        self._pass(HOUR)
        self._settle()
        self._clone.remove("withdrawn")
        self._push("One goes, and is let go")
        self._pass(61, HOUR + 61, 61)
        self._settle()

    def _slips_of_the_pen(self) -> None:
        for team in ("invalid", "begun", "robbed", "garbled"):
            text = (self._clone.path / USUAL.format(team)).read_text()
            self._clone.write_text(USUAL.format(team), _misspelt(text))
        self._clone.write_text(USUAL.format("never"), simple("never", more="expries: 2041-01-01\n"))
        self._clone.write_text(ELSEWHERE.format("doubled"), simple("doubled", tokens=7000))
        file = self._clone.path / USUAL.format("unreadable")
        file.unlink()
        file.symlink_to("../invalid/access.yaml")
        self._clone.write_text(USUAL.format("a-strangers"), simple("a-strangers"))
        self._push("Slips of the pen")
        self._pass(61, 361)

    def _hands_of_others(self) -> None:
        """People change by hand what is ours, and make things at names of ours."""
        products = self._road.apim.product
        edits = {"begun": _without_digest, "garbled": _with_short_commit, "newer": _with_one_field_more}
        for team, edit in edits.items():
            described = ProductUpdateParameters(description=edit(str(self._road.product(team).description)))
            products.update(*_AT, f"team-{team}", "*", described)
        # As versions before 0.1 named products; that is no difference.
        products.update(*_AT, "team-short-form", "*", ProductUpdateParameters(display_name="The short form"))
        products.delete(*_AT, "team-robbed", "*", delete_subscriptions=True)
        theirs = "Ours now. Ask the portal team."
        products.update(*_AT, "team-strange", "*", ProductUpdateParameters(description=theirs))
        another = ProductContract(display_name="A stranger's", description=theirs, subscription_required=True)
        products.create_or_update(*_AT, "team-a-strangers", another)
        self._clone.write_text(USUAL.format("strange"), _misspelt(simple("strange")))

    def _the_last_hour(self) -> None:
        """What waits, waits from here on: a key that changes hands, and a letter."""
        self._settle()
        text = (self._clone.path / USUAL.format("handed-over")).read_text()
        self._clone.write_text(USUAL.format("handed-over"), text.replace(GROUPS["one"], GROUPS["two"]))
        self._push("In other hands")
        self._road.stack.control.fault("resource-manager", "PUT product policy", status=400)
        self._clone.write_text(USUAL.format("letter"), simple("letter", tokens=6000))
        self._push("A limit that the gateway refuses")
        self._pass(61, 361)
        self._settle()

    def _on_their_way(self) -> None:
        """GitHub delivers earlier pushes once more, and what follows is not done any more: the messages of
        this version wait for the next one.
        """
        stack, disabled = self._road.stack, {f"AzureWebJobs.{name}.Disabled": "true" for name in WORKERS}
        stack.overrides |= disabled
        stack.restart_host()
        for push in (self._pushes[what] for what in DELIVERED_AGAIN):
            known = len(self._road.deliveries())
            stack.github("POST", f"/_standin/deliveries/{push.delivery}/redeliver")
            wait_until("the webhook is answered", partial(self._is_answered, known))

    def _is_answered(self, known: int) -> bool:
        found = self._road.deliveries()
        return len(found) > known and found[known]["status_code"] is not None


def _misspelt(request: str) -> str:
    return request.replace("gpt-4.1-mini", "gpt-4.l-mini")


def _without_digest(marker: str) -> str:
    head, found, rest = marker.partition("; sha256:")
    digest, separator, more = rest.partition("; ")
    assert found
    assert digest
    return f"{head}{found}{separator}{more}"


def _with_short_commit(marker: str) -> str:
    head, found, rest = marker.partition("; commit ")
    assert found
    return f"{head}{found}{rest[:7]}{rest[40:]}"


def _with_one_field_more(marker: str) -> str:
    return f"{marker}; level 3"


def main() -> None:
    shown = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=shown)
    parser.add_argument("file", type=Path, help="where to write it")
    parser.add_argument("--folder", type=Path, help="keep everything in this new folder, to look at it")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as passing:
        folder = options.folder or Path(passing)
        folder.mkdir(parents=True, exist_ok=True)
        snapshot.set_clock(folder, BEGINNING.timestamp())
        with stack_of(folder, ROOT) as stack, trusted(stack):
            clone = DatedClone(stack)
            road = Road(stack, clone)
            Story(road, clone).tell()
            now = stack.control.now()
            road.close()
        made_by = snapshot.git(ROOT, "log", "-1", "--format=%H %cI").strip()
        taken = snapshot.take(folder, made_by, now)
        _forget_tries(taken.tables["service-bus"]["messages"])
        snapshot.save(taken, options.file)


def _forget_tries(messages: dict[str, Any]) -> None:
    """As if what would be tried again had been tried already."""
    on_their_way = [key for key in messages if key.startswith("access-changes/")]
    for key in on_their_way:
        if _session(messages[key]) in TRIED_AGAIN:
            del messages[key]


def _session(row: dict[str, Any]) -> str:
    message = Message.decode(base64.b64decode(row["message"]))
    return str(message.properties[PROPERTY_INDEX["session_id"]])


if __name__ == "__main__":
    main()
