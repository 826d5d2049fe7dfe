"""What each release of KAITO knows of models and sizes: printed by its own code (`nodes-v*.json` and
`served-v*.json`).

The whole tables are read where the option `facts`, or REFERENCE_DIR with `kaito/facts` in it, names their
folder; without them a small extract of a few models and sizes serves (`definitions/kaito-facts.yaml`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

from standins.kubernetes import definitions
from standins.world import Options

ReleaseName = Literal["0.6", "0.8", "0.11", "0.12"]
Row = Mapping[str, Any]
_NAMES: dict[str, Any] = definitions.read("presets.yaml")
_FILES = {"0.6": "v0.6.0", "0.8": "v0.8.1", "0.11": "v0.11.0", "0.12": "v0.12.0"}
#: Known once, and refused with a text of its own from 0.8 on.
DEPRECATED = frozenset(("phi-2",))
#: The tokens of context that the columns of the node counts are for; the first is that of no configuration.
CONTEXTS = (2048, 8192, 32768, 131072)


@dataclass(frozen=True)
class Size:
    """A size of Azure: its GPUs and the memory of all of them in GiB."""

    name: str
    gpus: int
    gib: int
    model: str


@dataclass(frozen=True)
class Preset:
    """A model that a release knows. `row` and `served` are what was printed of it; both are empty for a name
    of which the extract says no more.
    """

    name: str
    row: Row = field(default_factory=dict)
    served: Row = field(default_factory=dict)

    @property
    def limit(self) -> int:
        """The longest context in tokens, 0 where it is not known."""
        return int(self.row.get("contextLimit", 0))

    @property
    def weights(self) -> str:
        """The memory that it takes, as a quantity; empty where it is not known."""
        return str(self.row.get("weights") or self.row.get("totalGpuMemory") or "")

    @property
    def downloads(self) -> bool:
        """Whether it fetches its weights when it starts, so that a token may be given."""
        return bool(self.row.get("downloads", self.name in _NAMES["downloaded"]))

    @property
    def has_transformers(self) -> bool:
        """Whether it runs without vLLM too."""
        if self.served:
            return isinstance(self.served.get("transformers"), Mapping)
        return not self.name.startswith(tuple(_NAMES["without-transformers"]))


@dataclass(frozen=True)
class Release:
    """The tables of one release. From 0.11 names are looked up in any case, and a short name is an alias."""

    name: ReleaseName
    sizes: Mapping[str, Size]
    presets: Mapping[str, Preset]
    errors: tuple[str, ...]

    @property
    def is_newer(self) -> bool:
        """Whether it is 0.11 or later."""
        return self.name in ("0.11", "0.12")

    def size(self, name: str) -> Size | None:
        if self.is_newer:
            return next((size for key, size in self.sizes.items() if key.lower() == name.lower()), None)
        return self.sizes.get(name)

    def is_family(self, size: str) -> bool:
        """Whether the webhook lets an unknown size pass for its name."""
        families = ("Standard_N", "Standard_D")
        if self.is_newer:
            return size.lower().startswith(tuple(name.lower() for name in families))
        return size.startswith(families)

    def is_valid(self, preset: str) -> bool:
        """Whether the name is one of a preset, or looks like an id of Hugging Face (from 0.11)."""
        if not self.is_newer:
            return preset in self.presets
        owner, slash, model = preset.partition("/")
        return bool(slash and owner and model) or self.preset(preset) is not None

    def preset(self, name: str) -> Preset | None:
        """None for what is in no table: an unknown name, or an id that Hugging Face would have to know."""
        return self.presets.get(name.lower() if self.is_newer else name)


def of(name: ReleaseName, options: Options) -> Release:
    """The tables of a release."""
    return _read(name, folder(options))


def folder(options: Options) -> str:
    """Where the whole tables are; empty where they are not at hand."""
    reference = os.environ.get("REFERENCE_DIR")
    named = options["facts"] or (str(Path(reference) / "kaito" / "facts") if reference else "")
    return named if named and Path(named).is_dir() else ""


@cache
def _read(name: ReleaseName, place: str) -> Release:
    nodes, served = (_whole if place else _extract)(name, place)
    sizes = {key: Size(key, row["gpus"], row["memGiB"], row["model"]) for key, row in nodes["skus"].items()}
    rows = nodes["presets"]
    known = {key: Preset(key, row, served.get(key, {})) for key, row in rows.items()}
    if not place:
        known = {key: Preset(key) for key in _short_names(name)} | known
    if name in ("0.11", "0.12"):
        known = {key.lower(): preset for key, preset in known.items()}
    return Release(name, sizes, known, tuple(nodes.get("errors", ())))


def _whole(name: ReleaseName, place: str) -> tuple[Row, Row]:
    nodes, served = (
        json.loads((Path(place) / f"{part}-{_FILES[name]}.json").read_text()) for part in ("nodes", "served")
    )
    return nodes, served["presets"]


def _extract(name: ReleaseName, _: str) -> tuple[Row, Row]:
    whole = definitions.read("kaito-facts.yaml")
    order = list(_FILES)
    sizes = {
        key: row
        for key, row in whole["skus"].items()
        if order.index(name) <= order.index(row.get("until", "0.12"))
    }
    return {**whole[name], "skus": sizes}, whole[name]["served"]


def _short_names(name: ReleaseName) -> list[str]:
    parts = {"0.6": ("every", "to-0.8", "to-0.6"), "0.8": ("every", "to-0.8", "from-0.8")}
    return [key for part in parts.get(name, ("every", "from-0.8")) for key in _NAMES[part]]
