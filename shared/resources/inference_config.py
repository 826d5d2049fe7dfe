"""What a Workspace is told beyond its preset: a ConfigMap that `inference.config` names.

KAITO's launcher appends each key below `vllm:` to the arguments of the server, as `--key value`, and the last
one wins (`presets/workspace/inference/vllm/inference_api.py`, the same in 0.6 to 0.12). What follows from it:

- Texts are quoted: YAML reads `yes` as True and `1.10` as 1.1.
- `max-model-len` comes first, as a bare number in block style: KAITO's own parser, which counts the nodes,
  takes the first one that it finds, and reads no other spelling.
- A list or several names cannot be given, so there is one name.
- A switch has no value. Its `True` is left over and taken for the positional model, which `--model` overrules
  (seen with KAITO 0.12); written `false` it is on as well, and two of them end the server. So there is at
  most one, where it cannot be avoided: without `--enable-auto-tool-choice` a parser is ignored, and KAITO
  gives that switch to presets with a parser of its own only.
- `override-generation-config` bounds every answer, and is what a call gets that names no bound. A client that
  leaves a stream does not stop it: the server writes on to the last token.
- A server of a multimodal model fetches whatever address a call names. An empty list of domains allows all,
  so the list has one that cannot exist.

The ConfigMap is named by the hash of its content and cannot be changed: another content is another name,
which restarts the workload, while an edited one is in force after the next crash.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from shared.catalog.catalog import CatalogModel
from shared.kaito.presets import find_preset, takes_media
from shared.kaito.releases import FETCHES_ALL, Release

#: The key of the ConfigMap that KAITO mounts as a file.
FILE = "inference_config.yaml"
#: Annotations of a Workspace: what the catalogue asked for when it was written, as JSON, and the
#: configuration that it was given then.
ASKED, WRITTEN = "mergekey.dev/asked", "mergekey.dev/config"
#: RFC 6761: no name below `invalid` ever exists.
_NOWHERE = "none.invalid"
#: vLLM 0.9.0 takes no positional model, so its `True` would end the server.
_NO_SWITCHES: frozenset[Release] = frozenset({"0.6"})


@dataclass(frozen=True, slots=True)
class Configuration:
    """The configuration of a Workspace, empty for none: the ConfigMap that it names (`name`), the one that we
    gave it (`written`), what the catalogue asked for then (`asked`), and how many adapters it has.
    """

    name: str = ""
    written: str = ""
    asked: str = ""
    adapters: int = 0

    @property
    def is_edited(self) -> bool:
        """Whether it is not as we wrote it. We write no adapters."""
        return self.name != self.written or self.adapters > 0

    @property
    def context(self) -> int | None:
        """The context that the catalogue asked for, None for none."""
        asked = json.loads(self.asked) if self.asked else {}
        context = asked.get("context") if isinstance(asked, dict) else None
        return context if isinstance(context, int) else None


def configuration_of(workspace: Mapping[str, Any]) -> Configuration:
    """The configuration in a Workspace, or in its manifest."""
    annotations = workspace["metadata"].get("annotations") or {}
    inference = workspace.get("inference") or {}
    return Configuration(
        str(inference.get("config") or ""),
        str(annotations.get(WRITTEN) or ""),
        _readable(str(annotations.get(ASKED) or "")),
        len(inference.get("adapters") or ()),
    )


def _readable(asked: str) -> str:
    """A text that is no JSON was written by others, and asks for nothing that we know."""
    try:
        json.loads(asked or "{}")
    except ValueError:
        return json.dumps(asked)
    return asked


@dataclass(frozen=True, slots=True)
class InferenceConfig:
    """What the catalogue asks for (`asked`), and the content of the ConfigMap that says it to KAITO."""

    asked: str
    text: str

    @property
    def name(self) -> str:
        return f"inference-{hashlib.sha256(self.text.encode()).hexdigest()[:16]}"

    @property
    def annotations(self) -> dict[str, str]:
        """Those of a Workspace that has it."""
        return {ASKED: self.asked, WRITTEN: self.name}


def inference_config(model: CatalogModel, release: Release) -> InferenceConfig | None:
    """The configuration of a model's Workspaces in this release; None where the catalogue asks for none."""
    if not model.is_configured:
        return None
    asked = {
        "answerTokens": model.answer_tokens,
        "context": model.context,
        "servedName": model.name if model.name_is_written else None,
        "toolParser": model.tool_parser,
    }
    said = {name: value for name, value in asked.items() if value is not None}
    lines = [f"  {key}: {value}" for key, value in _arguments(model, release)]
    return InferenceConfig(
        json.dumps(said, sort_keys=True, separators=(",", ":")), "\n".join(["vllm:", *lines, ""])
    )


def _arguments(model: CatalogModel, release: Release) -> list[tuple[str, str]]:
    found = []
    if model.context is not None:
        found.append(("max-model-len", str(model.context)))
    if model.name_is_written:
        found.append(("served-model-name", json.dumps(model.name)))
    if model.tool_parser is not None:
        found.append(("tool-call-parser", json.dumps(model.tool_parser)))
        if needs_switch(model, release) and release not in _NO_SWITCHES:
            found.append(("enable-auto-tool-choice", "true"))
    return [*found, *_bounds(model, release)]


def _bounds(model: CatalogModel, release: Release) -> Iterator[tuple[str, str]]:
    if model.answer_tokens is not None:
        yield "override-generation-config", f"'{json.dumps({'max_new_tokens': model.answer_tokens})}'"
    if model.preset is not None and takes_media(model.preset) and release not in FETCHES_ALL:
        yield "allowed-media-domains", _NOWHERE


def needs_switch(model: CatalogModel, release: Release) -> bool:
    """Whether KAITO does not switch calls of tools on by itself, or that is not known: it does so for presets
    with a parser of its own.
    """
    return not _has_parser(model, release)


def _has_parser(model: CatalogModel, release: Release) -> bool | None:
    """Whether KAITO's table has a parser for the preset; None where nothing is known of it."""
    preset = None if model.preset is None else find_preset(release, model.preset)
    return None if preset is None else preset.tool_parser is not None


def serves_no_tools(model: CatalogModel, release: Release) -> bool:
    """Whether its workspaces are known to refuse calls of tools."""
    if _has_parser(model, release) is not False:
        return False
    return model.tool_parser is None or release in _NO_SWITCHES
