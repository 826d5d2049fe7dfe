"""Ready means that a call was answered: what statuses say, beside the calls that the proxies saw."""

from __future__ import annotations

import http.client
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from standins.stack import REPOSITORY
from standins.world import Call
from tests.chaos.platform import Platform

#: Of a status that says of no road that it is not proven.
_READY = re.compile(r"workspaces ready: ([^;]+)")
_CONTEXT = re.compile(r"mergekey/([^/]+)/workspaces")
#: GitHub shows whole seconds.
_SECOND = 1.0


@dataclass(frozen=True)
class Told:
    """A workspace, `<namespace>/<name>`, that was called ready at this moment, in seconds since 1970."""

    workspace: str
    at: float


def told_ready(place: Platform) -> Iterator[Told]:
    """By the statuses of all pushes after the beginning, old ones too."""
    for pushed in place.people.pushes[1:]:
        path = f"/repos/{REPOSITORY}/commits/{pushed.commit}/statuses?per_page=100"
        for row in place.stack.github("GET", path):
            team, names = _CONTEXT.fullmatch(row["context"]), _READY.fullmatch(row["description"] or "")
            if team and names:
                at = datetime.fromisoformat(row["created_at"]).timestamp()
                yield from (Told(f"team-{team[1]}/{name}", at) for name in names[1].split(", "))


def unproven(told: Iterable[Told], calls: Sequence[Call]) -> Iterator[str]:
    """Workspaces that were called ready although their road did not answer, or failed, when it was asked
    last.
    """
    asked = [each for each in calls if (each.server, each.kind) == ("ingress", "call GET")]
    for each in told:
        until, path = each.at + _SECOND, f"/{each.workspace}/v1/models"
        before = [call for call in asked if call.target == path and call.at < until]
        answered = max((call.at for call in before if call.status == 200), default=None)
        # What a sweep asked in the same second does not count.
        failed = [call.at for call in before if call.status != 200 and call.at < each.at - _SECOND]
        if answered is None or max(failed, default=answered) > answered:
            yield f"{each.workspace} was called ready, and no call of it was answered"


def call_models(place: Platform) -> Counter[int]:
    """A call of the model of each team with a GPU of its own; how often each status was answered, 0 for
    none.
    """
    return Counter(_asked(place, each) for each in _expected(place))


def silent(place: Platform) -> Iterator[str]:
    """Workspaces on the branch that answer nothing when all is well again."""
    for each in _expected(place):
        if (status := _asked(place, each)) != 200:
            yield f"{each} answers {status}"


def _expected(place: Platform) -> list[str]:
    return [f"team-{team}/phi-4" for team, asked in sorted(place.people.present.items()) if asked.gpu]


def _asked(place: Platform, workspace: str) -> int:
    connection = http.client.HTTPConnection(urlsplit(place.stack.addresses["ingress"]).netloc, timeout=60)
    try:
        connection.request("POST", f"/{workspace}/v1/chat/completions", _BODY, _JSON)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


_JSON = {"Content-Type": "application/json"}
_BODY = '{"model": "phi-4", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 1}'
