"""KAITO's Workspaces against its CustomResourceDefinitions: of 0.6 (the AKS add-on) as v1alpha1, of 0.12 as
v1beta1.

The rules of its admission webhook are not part of a CRD.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import yaml

from standins.tests.reference.descriptions import DIRECTORY, Node, part
from standins.tests.reference.schemas import WHOLE, Flaw, Reading, flaws, without_null
from standins.world import Exchange

_PATH = re.compile(r"/apis/(?P<version>kaito\.sh/\w+)(/namespaces/[^/]+)?/workspaces(/[^/]+(/status)?)?")
_RELEASES = {"kaito.sh/v1alpha1": "v0.6.0", "kaito.sh/v1beta1": "v0.12.0"}


def version(exchange: Exchange) -> str | None:
    """The API version of the Workspaces that this exchange is about, None if it is not about them."""
    found = _PATH.fullmatch(exchange.path.split("?")[0])
    return found and found["version"]


def request_flaws(exchange: Exchange, api_version: str) -> Iterator[Flaw]:
    """A patch may leave out what a CRD requires: it meets an object that has it."""
    if exchange.request_body is None or exchange.method not in ("POST", "PUT", "PATCH"):
        return
    media = exchange.request_headers.get("content-type", "")
    if media == "application/json-patch+json":
        return  # a list of steps, no Workspace
    body = yaml.safe_load(exchange.request_body)  # JSON is YAML
    if media == "application/merge-patch+json":
        # null takes a property away
        body = {"apiVersion": api_version, "kind": "Workspace", **without_null(body)}
    yield from _flaws("body", body, api_version, Reading(partial=exchange.method == "PATCH"))


def answer_flaws(exchange: Exchange, api_version: str) -> Iterator[Flaw]:
    """Answers that hold no Workspace have no flaws here: a Status, the lines of a watch, the text of a 404
    for a kind that is not served.
    """
    if "json" not in exchange.answer_headers.get("content-type", ""):
        return
    body = json.loads(exchange.answer_body or "null")
    kind = body.get("kind") if isinstance(body, dict) else None
    if kind == "Workspace":
        yield from _flaws("answer", body, api_version, WHOLE)
    for number, item in enumerate(body["items"] if kind == "WorkspaceList" else ()):
        yield from _flaws(f"answer/items/{number}", item, api_version, WHOLE)


def _flaws(where: str, workspace: dict[str, Any], api_version: str, reading: Reading) -> Iterator[Flaw]:
    if (named := (workspace.get("apiVersion"), workspace.get("kind"))) != (api_version, "Workspace"):
        yield Flaw(where, f"calls itself {named[0]} {named[1]}, not {api_version} Workspace")
        return
    for flaw in flaws(_schema(api_version), workspace, reading):
        yield Flaw(where + flaw.where, flaw.what)


@cache
def _schema(api_version: str) -> Node:
    versions = part(DIRECTORY / "kaito" / _RELEASES[api_version] / "kaito.sh_workspaces.yaml")["spec"][
        "versions"
    ]
    names = [row["name"] for row in versions.value]
    return versions[names.index(api_version.split("/")[1])]["schema"]["openAPIV3Schema"]
