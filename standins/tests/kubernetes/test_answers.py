"""What a real kube-apiserver 1.35.4 answered (KAITO 0.12's and Gateway API's definitions, no KAITO), asked of
the stand-in over a socket in the same order: `answers.json`.

Of each call there is what was sent and, where it was recorded, what came: the status, the headers that matter
and the answer, without what is another one each time. `<word>` stands for any text, `$1` for a part that
several calls share; owners of fields are written one a line. Calls without a status only lead to the next
ones. `part`: the real server says more.
"""

from __future__ import annotations

import json
import re
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from standins.control import Control
from standins.tests.kubernetes.cluster import token
from standins.tests.plugin import ROOT, StandIns
from standins.tests.trust import give_certificates

_MEDIA = {
    "apply": "application/apply-patch+yaml",
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "json-patch": "application/json-patch+json",
}
#: What is another one each time.
_CHANGING = frozenset(
    (
        *("uid", "resourceVersion", "creationTimestamp", "deletionTimestamp", "lastTransitionTime", "time"),
        *("continue", "remainingItemCount", "serverAddress", "fieldsType", "description"),
    )
)
#: A namespace takes so many times longer here than there: a busy machine still sees it go.
SLOWLY = 60
_RECORDED = json.loads((Path(__file__).parent / "answers.json").read_text())


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[StandIns]:
    """A cluster of this test's own, in which neither KAITO nor a Gateway controller runs."""
    give_certificates(tmp_path)
    command = [sys.executable, "-m", "standins.run", "--folder", str(tmp_path), "--control", "--with-parent"]
    command += [
        "--only",
        "identity",
        "kubernetes",
        "--latency",
        "none",
        "--option",
        'kubernetes.kaito="none"',
        "--option",
        'kubernetes.gateway_controller="none"',
        "--option",
        f"kubernetes.namespace_deleted_after={5 * SLOWLY}",
        "--option",
        'kubernetes.not_served=["karpenter.sh", "external-secrets.io"]',
    ]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        yield StandIns(Control(ready["control"]), ready["addresses"], ready["ca"], tmp_path)
        process.terminate()


async def test_the_answers_are_those_of_a_real_api_server(alone: StandIns) -> None:
    headers = {"Authorization": f"Bearer {await token(alone)}", "User-Agent": "Python-urllib/3.11"}
    trust = aiohttp.TCPConnector(ssl=ssl.create_default_context(cafile=alone.ca))
    differing: list[str] = []
    asked = 0
    async with aiohttp.ClientSession(
        alone.addresses["kubernetes"], headers=headers, connector=trust
    ) as session:
        for call in map(_whole, _RECORDED["calls"]):
            if "wait" in call:
                alone.control.advance(call["wait"] * SLOWLY)
                continue
            status, said, answer = await _asked(session, call)
            if "status" in call:
                asked += 1
                differing += [f"{call['name']}: {each}" for each in _differences(call, status, said, answer)]
    assert differing == []
    assert asked == 99


async def _asked(session: aiohttp.ClientSession, call: dict[str, Any]) -> tuple[int, Any, str]:
    method, path = call["send"].split(" ", 1)
    body, media = call.get("body"), call.get("as", "application/json")
    text = body if isinstance(body, str) else None if body is None else json.dumps(body)
    headers = {"Content-Type": _MEDIA.get(media, media), "Accept": call.get("accept", "*/*")}
    data = text.replace("<long>", "x" * call.get("long", 0)) if text is not None else None
    async with session.request(method, path, data=data, headers=headers) as response:
        return response.status, response.headers, await response.text()


def _differences(call: dict[str, Any], status: int, headers: Any, answer: str) -> Iterator[str]:
    if status != call["status"]:
        yield f"status {status} instead of {call['status']}: {answer[:200]}"
        return
    for name, text in call.get("headers", {}).items():
        if text not in headers.getall(name, ()):
            yield f"{name} is {headers.getall(name, None)} instead of {text}"
    wanted = call.get("answer")
    if isinstance(wanted, str):
        yield from [] if answer == wanted else [f"{answer[:200]} instead of {wanted}"]
    elif wanted is not None:
        yield from _unlike(wanted, _shown(yaml.safe_load(answer)), "", partly=call.get("part", False))


def _unlike(wanted: Any, found: Any, path: str, *, partly: bool) -> Iterator[str]:
    """Where an answer is other than the recorded one."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        for name in wanted.keys() | (set() if partly else found.keys()):
            if name not in wanted or name not in found:
                yield f"{path}.{name} is {'missing' if name in wanted else 'too much'}"
            else:
                yield from _unlike(wanted[name], found[name], f"{path}.{name}", partly=partly)
    elif isinstance(wanted, list) and partly:
        for each in wanted:
            if all(list(_unlike(each, other, path, partly=partly)) for other in found):
                yield f"{path} has no {json.dumps(each)}"
    elif isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        for index, (one, other) in enumerate(zip(wanted, found, strict=True)):
            yield from _unlike(one, other, f"{path}[{index}]", partly=partly)
    elif not _same(wanted, found):
        yield f"{path} is {json.dumps(found)[:300]} instead of {json.dumps(wanted)[:300]}"


def _same(wanted: Any, found: Any) -> bool:
    if not isinstance(wanted, str) or not isinstance(found, str):
        return bool(wanted == found)
    pattern = ".+".join(map(re.escape, re.split(r"<\w+>", wanted)))
    return re.fullmatch(pattern, found, re.S) is not None


def _shown(value: Any) -> Any:
    """An answer as the recording writes it."""
    if isinstance(value, dict):
        kept = {name: _shown(part) for name, part in value.items() if name not in _CHANGING}
        if "managedFields" in kept:
            kept["managedFields"] = sorted(map(_owned, kept["managedFields"]))
        return kept
    return [_shown(item) for item in value] if isinstance(value, list) else value


def _owned(row: dict[str, Any]) -> str:
    owner = " ".join(filter(None, (row["operation"], row["manager"], row.get("subresource"))))
    return f"{owner}: {', '.join(sorted(path.lstrip('/') for path in _paths(row['fieldsV1'], '')))}"


def _paths(tree: dict[str, Any], path: str) -> Iterator[str]:
    if not tree:
        yield path
    for name, inner in tree.items():
        yield from [f"{path} ."] if name == "." else _paths(inner, f"{path}/{name}")


def _whole(value: Any) -> Any:
    """With the shared parts in their places."""
    if isinstance(value, str) and re.fullmatch(r"\$\d+", value):
        return _whole(_RECORDED["parts"][value])
    if isinstance(value, dict):
        return {name: _whole(part) for name, part in value.items()}
    return [_whole(item) for item in value] if isinstance(value, list) else value
