"""What GitHub says about its webhooks: which pushes the app has heard of, and what it answered."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gidgethub.apps import get_jwt

from standins.stack import Stack, ask

_ACCEPTED = 202
_QUEUED = re.compile(r"(?P<teams>\d+) teams? queued.*")
#: Answers that leave the push to a sweep, whose finds are tried for a quarter of an hour only.
_SWEPT = re.compile(r".*everything is looked at.*")
#: Answers to a push that had nothing in it by then.
_NOTHING = ("nothing that concerns access", "there is no such branch any more: nothing changes")


@dataclass(frozen=True)
class Delivery:
    """One webhook call: its id, the commit that was pushed, the answer's status and text."""

    guid: str
    commit: str
    status: int
    answer: str

    @property
    def queued(self) -> int | None:
        """The number of teams whose change was queued, for what was accepted and not left to a sweep."""
        found = _QUEUED.fullmatch(self.answer)
        if self.status != _ACCEPTED or (found is None and self.answer not in _NOTHING):
            return None
        return int(found["teams"]) if found else 0

    @property
    def swept(self) -> bool:
        return self.status == _ACCEPTED and _SWEPT.fullmatch(self.answer) is not None


def deliveries(stack: Stack) -> list[Delivery]:
    """All of the last three days, as the App may read them."""
    return [_read(_ask(stack, f"/app/hook/deliveries/{row['id']}")) for row in _listed(stack)]


def _listed(stack: Stack) -> Iterator[Any]:
    cursor = ""
    while rows := _ask(stack, f"/app/hook/deliveries?per_page=100{cursor}"):
        yield from rows
        cursor = f"&cursor=v1_{rows[-1]['id']}"


def _read(row: Any) -> Delivery:
    answer = row["response"]["payload"] or ""
    return Delivery(row["guid"], row["request"]["payload"]["after"], row["status_code"], answer)


def _ask(stack: Stack, path: str) -> Any:
    token = get_jwt(app_id=str(stack.github_app["app_id"]), private_key=stack.github_app["private_key"])
    return ask("GET", f"{stack.addresses['github']}{path}", headers={"Authorization": f"Bearer {token}"})
