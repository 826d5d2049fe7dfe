"""The official descriptions (OpenAPI, CRDs, XSD, payload schemas): where they are, and how to read one."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import yaml

#: A folder with `azure/specification`, `apim-policy-schema`, `github` and `kaito`; by default beside the
#: checkout.
DIRECTORY = Path(
    os.environ.get("REFERENCE_DIR") or Path(__file__).resolve().parents[4] / "shared" / "reference"
).resolve()
PRESENT = (DIRECTORY / "azure" / "specification").is_dir()
#: Set by `make contract`: without the descriptions there is nothing to show.
REQUIRED = os.environ.get("MERGEKEY_REQUIRE_REFERENCE") == "1"
ABSENT = (
    f"the vendors' official interface descriptions are not on this machine (looked in {DIRECTORY}): requests "
    "and answers are not compared with them. REFERENCE_DIR names the folder that holds azure/specification "
    "(Azure/azure-rest-api-specs), apim-policy-schema (microsoft/vscode-apimanagement), github "
    "(octokit/openapi, octokit/webhooks) and kaito (kaito-project/kaito)"
)


@dataclass(frozen=True)
class Node:
    """A part of a description. References in it are relative to `file`; `pointer` is its place there (RFC
    6901).
    """

    file: Path
    pointer: str
    value: Any

    def __getitem__(self, key: str | int) -> Node:
        return Node(
            self.file, f"{self.pointer}/{str(key).replace('~', '~0').replace('/', '~1')}", self.value[key]
        )

    def get(self, key: str) -> Node | None:
        return self[key] if key in self.value else None

    def target(self) -> Node:
        """The part that a reference leads to; what is none stays."""
        node = self
        while isinstance(node.value, dict) and "$ref" in node.value:
            path, _, pointer = node.value["$ref"].partition("#")
            node = part(_beside(node.file, path) if path else node.file, pointer)
        return node


def part(file: Path, pointer: str = "") -> Node:
    """A part of a file by its place, the whole file by default."""
    value = _load(file)
    for key in pointer.split("/")[1:]:
        name = unquote(key).replace("~1", "/").replace("~0", "~")
        value = value[int(name) if isinstance(value, list) else name]
    return Node(file, pointer, value)


def _beside(file: Path, path: str) -> Path:
    near = (file.parent / path).resolve()
    # The webhook payloads refer to each other from one folder up, where their `$id` puts them.
    return near if near.exists() else (file.parent.parent / path).resolve()


@cache
def _load(file: Path) -> Any:
    text = file.read_text()
    return json.loads(text) if file.suffix == ".json" else yaml.safe_load(text)
