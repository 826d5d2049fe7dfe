"""KAITO's presets and the Azure VM sizes that it knows, release by release: what a preset is called by the
server, how long its context may be, and how many nodes a Workspace of it takes.

The tables (`tables/*.json`) hold what KAITO's own code answers: node counts are those of its estimator, in
0.6 the least `resource.count` that its webhook takes. They are looked up and never computed. Source:
https://github.com/kaito-project/kaito at the tags v0.6.0, v0.8.1, v0.11.0 and v0.12.0. Of the releases
between them nothing is known. Which presets are multimodal: `pipelineTag` and `architectures` of KAITO's
`model_catalog.yaml` (v0.12.0). It says `text-generation` of `mistral-large-3-675b-instruct`, whose page at
Hugging Face says that it reads pictures: that counts.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, Literal, cast

from shared.kaito.releases import RELEASES, Release

_TABLES = Path(__file__).parent / "tables"

#: Instead of a number of nodes. `too small`: a GPU of the size cannot hold the context, or the model at all.
#: `not spread`: the model needs more than one node, and the release does not spread it.
NoNodes = Literal["too small", "not spread"]

#: A release that makes no node at all when it counts more than these. 0.6 makes `resource.count` nodes; our
#: Workspaces do not ask for more than its default.
MOST_NODES: Mapping[Release, int] = {"0.6": 1, "0.11": 3}

#: Sizes that KAITO knows and Azure does not have (any more), each with the name of what Azure has, if that is
#: another name. KAITO spells one wrongly: its name passes, and no node ever comes.
#: https://learn.microsoft.com/azure/virtual-machines/sizes/retirement/retired-sizes-list
NOT_IN_AZURE: Mapping[str, str] = {
    "Standard_ND96asr_A100_v4": "Standard_ND96asr_v4",
    **dict.fromkeys(("Standard_NV6", "Standard_NV12", "Standard_NV24"), ""),
    **dict.fromkeys(("Standard_NC6s_v3", "Standard_NC12s_v3", "Standard_NC24s_v3", "Standard_NC24rs_v3"), ""),
}


#: How long a trouble may last before it stands: as long as KAITO's startup probe lets the preset load, at
#: least an hour. Where that is unknown it is the longest that any release gives.
LEAST_READINESS, LONGEST_READINESS = timedelta(hours=1), timedelta(hours=3)


@dataclass(frozen=True, slots=True)
class Size:
    """An Azure VM size as KAITO knows it. `memory` is that of all its GPUs, in GiB. KAITO's images do not
    run on AMD's GPUs, although it counts nodes for them.
    """

    name: str
    gpus: int
    memory: int
    amd: bool = False


@dataclass(frozen=True, slots=True)
class Preset:
    """A preset. `served` is what the server calls the model, `id` its name at Hugging Face where it is known,
    `context` the longest context in tokens that its webhook takes, None where it does not look.
    `ready_minutes`: how long KAITO lets it start. `tool_parser`: how the server reads calls of tools, None
    where it reads none. `multimodal`: whether it takes pictures, sounds or videos.
    """

    name: str
    served: str
    ready_minutes: float
    nodes: Mapping[str, tuple[int | NoNodes, ...]]
    id: str | None = None
    context: int | None = None
    tool_parser: str | None = None
    multimodal: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """What a release knows. `contexts` are those for which nodes were counted, in tokens, the shortest first:
    it is the one that counts where a Workspace names none.
    """

    release: Release
    contexts: tuple[int, ...]
    sizes: Mapping[str, Size]
    presets: Mapping[str, Preset]

    def preset(self, name: str) -> Preset | None:
        """The preset of that name. From 0.11 the case of its letters has no meaning."""
        found = self.presets.get(name)
        if found is None and self.ignores_case:
            found = _by_lower_case(self.release).get(name.lower())
        return found

    @property
    def ignores_case(self) -> bool:
        """Whether presets are found whatever the case of their letters."""
        return self.release in ("0.11", "0.12")

    def nodes(self, preset: str, size: str, context: int | None) -> int | NoNodes | None:
        """How many nodes a Workspace takes; None where nothing is known: another preset or size, or a context
        longer than those that were counted. Between two contexts the longer one counts.
        """
        found = self.preset(preset)
        counts = None if found is None else found.nodes.get(size)
        if counts is None:
            return None
        index = bisect_left(self.contexts, context or 0)
        return counts[index] if index < len(counts) else None


@cache
def table(release: Release) -> Table | None:
    """The table of a release; None for one of which nothing is known."""
    file = _TABLES / f"{release}.json"
    if not file.exists():
        return None
    read: dict[str, Any] = json.loads(file.read_text("utf-8"))
    contexts = tuple(read["contexts"])
    return Table(
        release=release,
        contexts=contexts,
        sizes={name: Size(name, **each) for name, each in read["sizes"].items()},
        presets={name: _preset(name, each, len(contexts)) for name, each in read["presets"].items()},
    )


def find_preset(release: Release, name: str) -> Preset | None:
    """The preset of that name in a release; None where nothing is known of it."""
    known = table(release)
    return None if known is None else known.preset(name)


def takes_media(name: str) -> bool:
    """Whether a preset takes pictures, sounds or videos, in any release. What no table has may."""
    known = [preset for release in RELEASES if (preset := find_preset(release, name)) is not None]
    return not known or any(preset.multimodal for preset in known)


def readiness_time(release: Release, preset: str) -> timedelta:
    """After how long a preset that does not serve never will."""
    found = find_preset(release, preset)
    if found is None:
        return LONGEST_READINESS
    return max(timedelta(minutes=found.ready_minutes), LEAST_READINESS)


@cache
def _by_lower_case(release: Release) -> Mapping[str, Preset]:
    found = table(release)
    return {} if found is None else {name.lower(): each for name, each in found.presets.items()}


def _preset(name: str, read: Mapping[str, Any], contexts: int) -> Preset:
    return Preset(
        name=name,
        served=read["served"],
        ready_minutes=read["minutes"],
        nodes={size: _counts(written, contexts) for size, written in read["nodes"].items()},
        id=read.get("id"),
        context=read.get("context"),
        tool_parser=read["toolParser"],
        multimodal=read.get("multimodal", False),
    )


def _counts(written: object, contexts: int) -> tuple[int | NoNodes, ...]:
    """One value stands for all contexts."""
    row = written if isinstance(written, list) else [written] * contexts
    return cast("tuple[int | NoNodes, ...]", tuple(row))


def served_name(release: Release, name: str) -> str:
    """What the server calls the model of a preset, by itself. From 0.11 a preset that is not in the table is
    an id at Hugging Face, and served under its last part; in other releases a preset has its own name.
    """
    known, found = table(release), find_preset(release, name)
    if found is not None:
        return found.served
    return name.rpartition("/")[2].lower() if known is not None and known.ignores_case else name


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The known name that is most like this one, whatever the case of its letters; None where none is."""
    by_lower_case = {each.lower(): each for each in names}
    found = get_close_matches(name.lower(), by_lower_case, n=1, cutoff=0.6)
    return by_lower_case[found[0]] if found else None
