"""Whether KAITO makes a workspace as the catalogue describes it, on how many nodes, and what it costs.

All is looked up in the tables of the release that the catalogue names (`shared.kaito.presets`). Of a release
without a table nothing is known, and nothing is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from shared.documents.problem import counted, listed, quote
from shared.kaito.presets import MOST_NODES, NOT_IN_AZURE, NoNodes, Size, Table, nearest, table
from shared.kaito.releases import Release

#: Below it the benchmark, which is KAITO's startup probe, cannot pass: it sends 2,048 tokens and asks for
#: 256, and the template of the chat comes on top.
LEAST_CONTEXT = 4_096
BENCHMARKED: frozenset[Release] = frozenset(("0.10", "0.11", "0.12"))
#: Other presets than the short ones are looked up at Hugging Face.
_TAKES_IDS: frozenset[Release] = frozenset(("0.11", "0.12"))
_ID = re.compile(r"[^/]+/[^/]+")
#: In 0.6 several GPUs with less memory each, in GiB, need a context.
_SMALL_GPU, _NEEDS_CONTEXT = 20, frozenset[Release](("0.6",))
#: Sizes, and presets, that one message names.
_NAMED, _PRESETS = 5, 20

#: Of an average month, as Azure counts it.
HOURS_OF_A_MONTH = 730

Fault = tuple[str, str, str]
"""A key (`preset`, `context` or `size`), a reason and a message."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What a model's workspaces run, and on which release of KAITO. `context` and `max_nodes` are None where
    the catalogue does not say; `benchmark`: whether KAITO measures the model when it starts.
    """

    release: Release
    preset: str
    context: int | None = None
    max_nodes: int | None = None
    benchmark: bool = True

    @property
    def most_nodes(self) -> int | None:
        """The most nodes that a workspace may take, by catalogue and release; None for no bound."""
        bounds = (self.max_nodes, MOST_NODES.get(self.release))
        return min((bound for bound in bounds if bound is not None), default=None)


def nodes_of(setup: Setup, size: str) -> int | NoNodes | None:
    """How many nodes KAITO takes for a workspace on a size, or why none; None where nothing is known."""
    known = table(setup.release)
    return None if known is None else known.nodes(setup.preset, size, setup.context)


def expected_nodes(setup: Setup, size: str) -> int | None:
    """The number that counts: what KAITO takes, where that is unknown the most that the catalogue allows;
    None where it says nothing either.
    """
    found = nodes_of(setup, size)
    return found if isinstance(found, int) else setup.max_nodes


@dataclass(frozen=True, slots=True)
class NodeCost:
    """The nodes of a workspace, None where their number is unknown, and what they cost, in the catalogue's
    currency; None where it has no price for the size, or nobody knows the number.
    """

    nodes: int | None
    per_hour: Decimal | None
    per_month: Decimal | None


def node_cost(nodes: int | None, price: Decimal | None) -> NodeCost:
    """`price` is that of one node in an hour."""
    per_hour = None if not price or nodes is None else price * nodes
    return NodeCost(nodes, per_hour, None if per_hour is None else per_hour * HOURS_OF_A_MONTH)


def gpus_of(setup: Setup, size: str) -> int | None:
    """The GPUs of a node of the size; None where the release does not know the size."""
    known = table(setup.release)
    found = None if known is None else known.sizes.get(size)
    return None if found is None else found.gpus


def faults_on(setup: Setup, size: str) -> Iterator[Fault]:
    """Everything for which KAITO makes no workspace, or one that never serves, on this size."""
    yield from model_faults(setup)
    yield from size_faults(setup, size)


def model_faults(setup: Setup) -> Iterator[Fault]:
    """The faults on every size."""
    known = table(setup.release)
    if known is not None and known.preset(setup.preset) is None:
        yield from _preset_faults(setup, known)
    yield from _context_faults(setup, known)


def _preset_faults(setup: Setup, known: Table) -> Iterator[Fault]:
    if setup.release in _TAKES_IDS and _ID.fullmatch(setup.preset):
        if setup.max_nodes is None:
            message = (
                f"Nobody knows how many nodes KAITO {setup.release} takes for {quote(setup.preset)}. Add "
                "'maxNodes', the most that one workspace of it may take."
            )
            yield "preset", "NodesUnknown", message
        return
    near = nearest(setup.preset, known.presets)
    short = [name for name in known.presets if "/" not in name]
    advice = f"Did you mean {quote(near)}?" if near else f"It has {listed(short[:_PRESETS])}."
    yield (
        "preset",
        "UnknownPreset",
        f"KAITO {setup.release} has no preset {quote(setup.preset)}. {advice}",
    )


def _context_faults(setup: Setup, known: Table | None) -> Iterator[Fault]:
    if setup.context is None:
        return
    longest = _longest(setup, known)
    if longest is not None and setup.context > longest:
        message = (
            f"A context of {setup.context:,} tokens is more than {quote(setup.preset)} has: {longest:,}."
        )
        yield "context", "ContextTooLong", message
    if setup.benchmark and setup.release in BENCHMARKED and setup.context < LEAST_CONTEXT:
        message = (
            f"With a context below {LEAST_CONTEXT:,} tokens KAITO's benchmark cannot pass, and the workspace "
            f"is never ready. Write at least {LEAST_CONTEXT}, or 'benchmark: false'."
        )
        yield "context", "ContextTooShort", message


def _longest(setup: Setup, known: Table | None) -> int | None:
    """The longest context that the preset takes, None where that is unknown."""
    preset = None if known is None else known.preset(setup.preset)
    return None if preset is None else preset.context


def size_faults(setup: Setup, size: str) -> Iterator[Fault]:
    """The faults of this size."""
    known = table(setup.release)
    if known is None:
        return
    found = known.sizes.get(size)
    if found is None:
        message = _unknown_size(setup, known, size)
        yield "size", "UnknownInstanceType", message
    elif problem := _unusable(found):
        message = f"KAITO runs nothing on {quote(size)}: {problem}. {_that_would_do(setup)}"
        yield "size", "UnusableInstanceType", message
    else:
        yield from _node_faults(setup, known, found)
        yield from _missing_context(setup, found)


def _unknown_size(setup: Setup, known: Table, size: str) -> str:
    right = next((each for each in known.sizes if each.lower() == size.lower()), None)
    if right is not None:
        return (
            f"Azure spells {quote(size)} otherwise, and KAITO never counts a node of another spelling. Write "
            f"{quote(right)}."
        )
    near = nearest(size, (name for name, each in known.sizes.items() if _unusable(each) is None))
    meant = f" Did you mean {quote(near)}?" if near else ""
    return (
        f"KAITO {setup.release} does not know {quote(size)} and makes no node for it.{meant} "
        f"{_that_would_do(setup)}"
    )


def _unusable(size: Size) -> str | None:
    """Why nothing runs on a size that KAITO knows."""
    if size.amd:
        return "its GPUs are by AMD, and KAITO's images are for those by NVIDIA"
    if size.name not in NOT_IN_AZURE:
        return None
    other = NOT_IN_AZURE[size.name]
    return f"Azure calls it {quote(other)}, which KAITO does not know" if other else "Azure has it no longer"


def _node_faults(setup: Setup, known: Table, size: Size) -> Iterator[Fault]:
    count = known.nodes(setup.preset, size.name, setup.context)
    if count is None:
        if setup.max_nodes is None and _is_uncounted(setup, known):
            message = (
                f"Nobody knows how many nodes KAITO {setup.release} takes for a context of {setup.context:,} "
                "tokens. Add 'maxNodes', the most that one workspace may take."
            )
            yield "size", "NodesUnknown", message
    elif isinstance(count, str):
        yield "size", "DoesNotFit", f"{_too_small(setup, size, count)} {_that_would_do(setup)}"
    elif setup.most_nodes is not None and count > setup.most_nodes:
        message = f"{_too_many(setup, size, count)} {_that_would_do(setup)}"
        yield "size", "TooManyNodes", message


def _is_uncounted(setup: Setup, known: Table) -> bool:
    """Whether the preset is known and takes the context, for which no nodes were counted."""
    longest = _longest(setup, known)
    return known.preset(setup.preset) is not None and (longest is None or longest >= (setup.context or 0))


def _too_small(setup: Setup, size: Size, why: NoNodes) -> str:
    context = "" if setup.context is None else f" with a context of {setup.context:,} tokens"
    what = f"{quote(setup.preset)}{context}"
    if why == "not spread":
        return (
            f"{what} needs more than one node of {quote(size.name)}, over which KAITO {setup.release} does "
            "not spread it."
        )
    return f"{what} does not fit on a GPU of {quote(size.name)}: KAITO makes no node at all."


def _too_many(setup: Setup, size: Size, count: int) -> str:
    taken = f"KAITO takes {counted(count, 'node')} of {quote(size.name)} for {quote(setup.preset)}"
    most = MOST_NODES.get(setup.release)
    if most is not None and count > most:
        return f"{taken}, and {setup.release} makes none at all when it takes more than {most}."
    return f"{taken}, and 'maxNodes' allows {setup.max_nodes}."


def _missing_context(setup: Setup, size: Size) -> Iterator[Fault]:
    has_small_gpus = size.gpus > 1 and size.memory / size.gpus < _SMALL_GPU
    if has_small_gpus and setup.context is None and setup.release in _NEEDS_CONTEXT:
        message = f"KAITO {setup.release} needs 'context' for the small GPUs of {quote(size.name)}. Add it."
        yield "size", "MissingKey", message


def _that_would_do(setup: Setup) -> str:
    sizes = sizes_that_fit(setup)
    if not sizes:
        return "No size that it knows would do."
    return f"{listed(sizes[:_NAMED])} would do."


def sizes_that_fit(setup: Setup) -> list[str]:
    """The sizes without a fault, the one with the least memory first."""
    known = table(setup.release)
    sizes = [] if known is None else sorted(known.sizes.values(), key=lambda each: (each.memory, each.name))
    return [each.name for each in sizes if _fits(setup, each)]


def _fits(setup: Setup, size: Size) -> bool:
    count = nodes_of(setup, size.name)
    is_within = count is None or (isinstance(count, int) and count <= (setup.most_nodes or count))
    return is_within and _unusable(size) is None and not list(_missing_context(setup, size))
