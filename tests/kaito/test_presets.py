"""The tables of presets, sizes and node counts, release by release."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.kaito.presets import (
    LONGEST_READINESS,
    MOST_NODES,
    NOT_IN_AZURE,
    nearest,
    readiness_time,
    table,
    takes_media,
)
from shared.kaito.releases import RELEASES, Release

A100, H200, A10 = "Standard_NC24ads_A100_v4", "Standard_ND96isr_H200_v5", "Standard_NV36ads_A10_v5"
PRINTED: tuple[Release, ...] = ("0.6", "0.8", "0.11", "0.12")


def test_four_releases_have_a_table() -> None:
    assert tuple(release for release in RELEASES if table(release)) == PRINTED


@pytest.mark.parametrize("release", PRINTED)
def test_each_preset_has_a_count_for_each_size_of_its_release(release: Release) -> None:
    found = table(release)
    assert found is not None
    assert all(each.nodes.keys() == found.sizes.keys() for each in found.presets.values())
    counts = [count for each in found.presets.values() for row in each.nodes.values() for count in row]
    assert {type(count) for count in counts} <= {int, str}
    assert {count for count in counts if isinstance(count, str)} <= {"too small", "not spread"}


def test_the_releases_agree_which_presets_are_multimodal() -> None:
    said: dict[str, set[bool]] = {}
    for release in PRINTED:
        found = table(release)
        for each in found.presets.values() if found else ():
            said.setdefault(each.name.lower(), set()).add(each.multimodal)
    assert [name for name, each in said.items() if len(each) > 1] == []
    assert sum(True in each for each in said.values()) == 34


@pytest.mark.parametrize(
    ("preset", "takes"),
    [
        ("gemma-3-27b-instruct", True),
        ("GOOGLE/gemma-4-e2b-it", True),
        ("Qwen/Qwen3.5-4B", True),
        ("nvidia/NVIDIA-Nemotron-Nano-12B-v2-VL-BF16", True),
        ("mistral-large-3-675b-instruct", True),
        ("mistral-7b-instruct", False),
        ("deepseek-r1-0528", False),
        ("falcon-7b", False),
        ("organization/unknown", True),
    ],
)
def test_a_preset_takes_media_in_every_release_and_an_unknown_one_may(preset: str, *, takes: bool) -> None:
    assert takes_media(preset) is takes


@pytest.mark.parametrize(
    ("release", "preset", "size", "context", "nodes"),
    [
        ("0.12", "llama-3.3-70b-instruct", A100, None, 3),
        ("0.12", "llama-3.3-70b-instruct", A100, 131_072, 6),
        ("0.11", "llama-3.3-70b-instruct", A100, 131_072, 6),
        ("0.12", "gemma-3-27b-instruct", A100, 2_048, 1),
        ("0.12", "gemma-3-27b-instruct", A100, 32_768, 2),
        ("0.12", "gemma-3-27b-instruct", A100, 131_072, 19),
        ("0.12", "deepseek-r1-0528", A100, None, 11),
        ("0.12", "deepseek-r1-0528", A10, None, 39),
        ("0.12", "deepseek-r1-0528", H200, None, 1),
        ("0.6", "deepseek-r1-0528", A100, None, 12),
        ("0.12", "Qwen/Qwen3.5-4B", A100, None, 1),
    ],
)
def test_counts_are_looked_up(
    release: Release, preset: str, size: str, context: int | None, nodes: int
) -> None:
    found = table(release)
    assert found is not None
    assert found.nodes(preset, size, context) == nodes


def test_between_two_contexts_the_longer_one_counts() -> None:
    found = table("0.12")
    assert found is not None
    assert [found.nodes("gemma-3-27b-instruct", A100, each) for each in (8_193, 32_768, 32_769)] == [2, 2, 19]


def test_beyond_the_table_nothing_is_known() -> None:
    found = table("0.12")
    assert found is not None
    assert found.nodes("gemma-3-27b-instruct", A100, 131_073) is None
    assert found.nodes("phi-2", A100, None) is None
    assert found.nodes("phi-4", "Standard_ND96asr_v4", None) is None


@pytest.mark.parametrize(
    ("release", "preset", "minutes"),
    [
        ("0.12", "phi-4", 60),
        ("0.12", "llama-3.3-70b-instruct", 60),
        ("0.12", "MiniMaxAI/MiniMax-M2.7", 79.3),
        ("0.12", "deepseek-r1-0528", 180),
        ("0.11", "DeepSeek-R1-0528", 60),
        ("0.12", "contoso/unknown", 180),
        ("0.9", "phi-4", 180),
    ],
)
def test_a_preset_has_its_own_readiness_time(release: Release, preset: str, minutes: float) -> None:
    assert readiness_time(release, preset) == timedelta(minutes=minutes)


def test_an_unknown_preset_has_the_longest_readiness_time_of_all() -> None:
    tables = [found for release in RELEASES if (found := table(release)) is not None]
    longest = max(each.ready_minutes for found in tables for each in found.presets.values())
    assert timedelta(minutes=longest) == LONGEST_READINESS


@pytest.mark.parametrize(("release", "found"), [("0.8", False), ("0.11", True), ("0.12", True)])
def test_the_case_of_a_preset_counts_up_to_0_10(release: Release, found: bool) -> None:
    known = table(release)
    assert known is not None
    assert (known.preset("Phi-4") is not None) is found


def test_from_0_11_eight_short_presets_are_served_by_another_name() -> None:
    found = table("0.12")
    assert found is not None
    short = [each for name, each in found.presets.items() if "/" not in name]
    assert (len(short), sum(each.served != each.name for each in short)) == (25, 8)


def test_ten_short_presets_read_no_calls_of_tools() -> None:
    found = table("0.12")
    assert found is not None
    assert sum(each.tool_parser is None for name, each in found.presets.items() if "/" not in name) == 10


def test_two_releases_make_no_node_beyond_a_number() -> None:
    assert MOST_NODES == {"0.6": 1, "0.11": 3}


def test_a_name_that_is_nearly_right_is_found() -> None:
    found = table("0.12")
    assert found is not None
    assert nearest("phi4", found.presets) == "phi-4"
    assert nearest("standard_nc24ads_a100_v4", found.sizes) == A100
    assert nearest("something else entirely", found.presets) is None


def test_sizes_that_azure_does_not_have_are_sizes_of_kaito() -> None:
    known = {size for release in PRINTED if (found := table(release)) for size in found.sizes}
    assert NOT_IN_AZURE.keys() <= known
