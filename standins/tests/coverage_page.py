"""`standins/COVERAGE.md`: what each stand-in does, refuses, and does otherwise than the real service.

`python -m standins.tests.coverage_page` writes it: operations from the servers' routes, refusals from
`REFUSED` below, differences from the strict xfails of the tests (`differences.py`) and, where no test can
show them, from a server's `DIFFERENCES`. A test compares the page with what this would write.
"""

from __future__ import annotations

import ast
import importlib
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from aiohttp.web import AbstractResource

from standins.run import BUS, SERVERS
from standins.service_bus.management import OPERATIONS
from standins.world import World

TESTS = Path(__file__).resolve().parent
PAGE = TESTS.parent / "COVERAGE.md"

_INTRODUCTION = """# What the stand-ins do

Written by `python -m standins.tests.coverage_page`; a test fails when it is out of date. \
An HTTP operation that is not listed is answered with 501
and a line on standard error, never with an invented answer. `…` stands for the resource id up to API \
Management.

A *known difference* is something the real service does and the stand-in does not; \
where a test can show it, there is one that fails, and
must go on failing until the stand-in has learnt it.
"""


@dataclass(frozen=True)
class Operation:
    kind: str
    method: str
    path: str


def operations(server: str, module: str) -> list[Operation]:
    """The routes of an HTTP stand-in, in order of registration, without those of its own that no real service
    has.
    """
    with tempfile.TemporaryDirectory() as folder:
        app = importlib.import_module(module).build(
            World(Path(folder), addresses={server: "http://localhost"})
        )
        return [
            Operation(kind, route.method, _path(route.resource))
            for route in app.router.routes()
            if (kind := getattr(route.handler, "kind", None))
            and route.resource
            and "/_standin" not in route.resource.canonical
        ]


#: A segment that may be spelled in any case is a part with a pattern.
_FIXED = re.compile(r"\(\?P<fixed\d+>\(\?i:(?P<segment>[^)]*)\)\)")
_PART = re.compile(r"\(\?P<(?P<name>\w+)>(?:[^()]|\([^()]*\))*\)")
_API_MANAGEMENT = (
    "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ApiManagement/service/{service}"
)


def _path(resource: AbstractResource) -> str:
    pattern = resource.get_info().get("pattern")
    if pattern is None:
        return resource.canonical
    plain = _PART.sub(r"{\g<name>}", _FIXED.sub(r"\g<segment>", pattern.pattern)).replace("\\", "")
    return plain.replace(_API_MANAGEMENT, "…/service/{service}")


def differences() -> dict[str, list[str]]:
    """Server -> the texts of the tests' `known_difference` marks, in order of files and lines."""
    found: dict[str, list[str]] = {}
    for path in sorted(TESTS.rglob("test_*.py")):
        for server, text in _marks(ast.parse(path.read_text())):
            found.setdefault(server, []).append(text)
    return found


def _marks(tree: ast.AST) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id == "known_difference"
        ):
            server, text = (ast.literal_eval(argument) for argument in node.args)
            yield server, text


def page() -> str:
    known = differences()
    parts = [_INTRODUCTION]
    for server, module, _ in SERVERS:
        told = getattr(importlib.import_module(module), "DIFFERENCES", ())
        parts.append(_section(server, _table(operations(server, module)), [*told, *known.pop(server, [])]))
    parts.append(_section(BUS[0], _bus_table(), known.pop(BUS[0], [])))
    if known:
        raise ValueError(f"known differences of no server: {', '.join(known)}")
    return "\n".join(parts)


def _section(server: str, done: list[str], differs: list[str]) -> str:
    lines = [f"## {server}", "", *done, ""]
    for title, texts in (("Refused", REFUSED.get(server, ())), ("Known differences", differs)):
        if texts:
            lines += [f"**{title}**", "", *(f"- {text}" for text in texts), ""]
    return "\n".join(lines)


def _table(found: list[Operation]) -> list[str]:
    rows = ["| operation | requests |", "|---|---|"]
    for kind, same in groupby(sorted(found, key=lambda each: each.kind), key=lambda each: each.kind):
        requests = dict.fromkeys(
            f"`{each.method} {each.path}`"
            for each in same
            if each.method != "HEAD" or kind.startswith("HEAD")
        )
        rows.append(f"| {kind} | {'<br>'.join(requests)} |")
    return rows


def _bus_table() -> list[str]:
    rows = [
        ("send, schedule", "one message, a batch, over several frames"),
        ("receive", "peek-lock, receive-and-delete; sessions; dead letters"),
        ("complete, abandon, defer, deadletter, release", "the outcome of a delivery"),
        *((name, f"`com.microsoft:{name}`") for name in OPERATIONS),
    ]
    return ["| operation | on the wire |", "|---|---|", *(f"| {name} | {wire} |" for name, wire in rows)]


#: What somebody might look for and not find; the servers refuse it.
REFUSED: dict[str, tuple[str, ...]] = {
    "gateway": (
        (
            "Elements, attributes and expressions of policies that Mergekey's policies do not have: 500, and "
            "a line on standard error."
        ),
        ("Named values in policies, breakers that count percent, query credentials of backends."),
    ),
    "models": (
        (
            "Of servers that are not KAITO's: everything of the OpenAI protocol but chat completions, "
            "completions, embeddings, responses, images and the list of models; of responses `background`, "
            "`conversation`, `prompt`, built-in tools and `cancel`; pictures as a stream, edits of pictures."
        ),
    ),
    "identity": ("Sign-in of people, other grants than client credentials, Microsoft Graph.",),
    "resource-manager": (
        "API Management: revisions of an API; imports other than `openapi` and `openapi+json`; policies by "
        "link; `tags`, `expandGroups`, `$orderby`; owners of subscriptions other than the administrator; API "
        "and group links by id, tags, schemas, releases; creating or deleting a service; deleting "
        "client certificates, and those in a Key Vault.",
        "Conditions on role assignments, deny assignments, policies, deployments, locks.",
        "AKS: creating or changing a cluster, agent pools, administrators' credentials, `runCommand`.",
    ),
    "key-vault": ("Keys and certificates, backup and restore, access policies, network rules.",),
    "kubernetes": (
        "RAGEngines, tuning workspaces; writing InferenceSets.",
        (
            "Pods, Deployments, ConfigMaps, Secrets and what else runs in a cluster: their lists are empty, "
            "and writing them is refused; writing Services; creating or changing Nodes; defining kinds."
        ),
        (
            "Admission policies with `paramKind`, `auditAnnotations`, the action Audit, or functions of "
            "Kubernetes' own beyond those for texts; rules that compare with `oldSelf`."
        ),
        "`/finalize`, protobuf for other kinds than kubectl sends by itself.",
    ),
    "github": (
        "GraphQL, the contents API, pull requests, rulesets, creating or changing hooks, zipball, check "
        "suites; lists of commits by author, committer or date.",
        "Webhooks as form data; git over https (clone, commit and push to the repository's path).",
    ),
    "service-bus": (
        "Transactions, AMQP over websockets, partitioned entities, forwarding.",
        "Rules over AMQP, SQL filters, application properties in correlation rules.",
        "Messages over 1 MiB, sessions by the time of their last change.",
    ),
}

if __name__ == "__main__":
    PAGE.write_text(page())
