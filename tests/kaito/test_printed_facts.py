"""The review against what KAITO's own code printed: every node count, and the verdict on every new workspace
that a catalogue can ask for.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shared.catalog.catalog import read_catalog
from shared.catalog.workspace_checks import Setup, nodes_of
from shared.kaito.releases import Release

FACTS = (
    Path(os.environ.get("REFERENCE_DIR") or Path(__file__).resolve().parents[3] / "shared" / "reference")
    / "kaito"
    / "facts"
)
PRINTED: dict[Release, str] = {"0.6": "v0.6.0", "0.8": "v0.8.1", "0.11": "v0.11.0", "0.12": "v0.12.0"}
pytestmark = pytest.mark.skipif(
    not FACTS.is_dir(),
    reason=f"what KAITO printed is not on this machine (looked in {FACTS}; REFERENCE_DIR names its folder)",
)
#: What KAITO's webhook takes, and what then stands for ever without a node, or is never ready.
NEVER_READY = {
    "BadInstanceType",
    "UnknownInstanceType",
    "UnusableInstanceType",
    "DoesNotFit",
    "TooManyNodes",
    "ContextTooShort",
}


def _facts(kind: str, release: Release) -> Any:
    return json.loads((FACTS / f"{kind}-{PRINTED[release]}.json").read_text())


@pytest.mark.parametrize("release", PRINTED)
def test_every_count_of_nodes_is_the_printed_one(release: Release) -> None:
    printed = _facts("nodes", release)
    compared = list(_counts(printed, release))
    assert [each for each in compared if not _agree(each[1], each[2])] == []
    assert len(compared) >= 500


def _counts(printed: Any, release: Release) -> Iterator[tuple[object, object, object]]:
    """Each place, what was printed, and what we say. Above the preset's context no count can occur."""
    # 0.6 does not look at the context.
    contexts = printed.get("contexts", [2_048]) if release != "0.6" else [2_048]
    for preset, row in printed["presets"].items():
        for size, counts in row["nodes"].items():
            for context, count in zip(contexts, _row(counts, len(contexts)), strict=True):
                if context <= (row.get("contextLimit") or context):
                    written = None if context == contexts[0] else context
                    yield (preset, size, context), count, nodes_of(Setup(release, preset, written), size)


def _row(counts: Any, length: int) -> list[Any]:
    return list(counts) if isinstance(counts, list) else [counts] * length


def _agree(printed: object, said: object) -> bool:
    """An error stands for no node."""
    return said == printed if isinstance(printed, int) else said in ("too small", "not spread")


@pytest.mark.parametrize("release", PRINTED)
def test_what_kaito_refuses_is_refused_in_the_review(release: Release) -> None:
    compared = list(_verdicts(release))
    refused = [name for name, verdict, reasons in compared if verdict == "refused" and not reasons]
    assert refused == []
    assert len(compared) >= 50


@pytest.mark.parametrize("release", PRINTED)
def test_more_is_refused_only_where_no_workspace_would_come_of_it(release: Release) -> None:
    stricter = [
        (name, reasons)
        for name, verdict, reasons in _verdicts(release)
        if verdict == "accepted" and reasons - NEVER_READY
    ]
    assert stricter == []


def _verdicts(release: Release) -> Iterator[tuple[str, str, set[str]]]:
    """Name and verdict of each case that a catalogue can express, and the reasons of the review."""
    for case in _facts("validation", release)["cases"]:
        text = None if "old" in case or "beforeWebhook" in case else _as_catalogue(case, release)
        if text is not None:
            found = read_catalog("model_catalog.yaml", text.encode()).problems
            yield case["name"], case["verdict"], {problem.reason for problem in found}


def _as_catalogue(case: Any, release: Release) -> str | None:
    """The same workspace in a catalogue: a preset, a size, a secret and a context, and nothing else."""
    made = case["object"]
    resource, inference = made["resource"], made.get("inference") or {}
    preset, context = inference.get("preset") or {}, _context(case)
    is_plain = (
        set(made) <= {"apiVersion", "kind", "metadata", "resource", "inference"}
        and set(made["metadata"]) == {"name", "namespace"}
        and made["metadata"]["name"] == "w"
        and set(resource) == {"instanceType", "labelSelector"}
        and resource["labelSelector"] == {"matchLabels": {"apps": "w"}}
        and set(inference) <= {"preset", "config"}
        and set(preset) <= {"name", "presetOptions"}
        and set(preset.get("presetOptions") or {}) <= {"modelAccessSecret"}
        and (context is not None or "config" not in inference)
    )
    if not is_plain or not preset:
        return None
    secret = (preset.get("presetOptions") or {}).get("modelAccessSecret")
    lines = [f'accessSecret: "{secret}"' if secret else "", f"context: {context}" if context else ""]
    return "\n    ".join(
        [
            f'kaito: "{release}"\nmodels:\n  - name: m\n    provider: kaito',
            f'preset: "{preset.get("name", "")}"',
            f'dedicated: {{instanceTypes: ["{resource["instanceType"]}"], total: 1}}',
            *filter(None, lines),
        ]
    )


def _context(case: Any) -> int | None:
    """The one key of its configuration, if that is a context."""
    maps = case.get("configMaps") or []
    lines = maps[0].get("data", {}).get("inference_config.yaml", "").split("\n") if len(maps) == 1 else []
    written = [line.strip() for line in lines if line.strip()]
    if len(written) != 2 or written[0] != "vllm:" or not written[1].startswith("max-model-len: "):
        return None
    number = written[1].removeprefix("max-model-len: ")
    return int(number) if number.isdigit() and "\t" not in "".join(lines) else None
