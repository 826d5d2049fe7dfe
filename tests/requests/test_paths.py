"""Where requests are looked for, and what was probably meant as one."""

from __future__ import annotations

import pytest

from shared.requests.paths import DEFAULT_CATALOG_PATH, RequestPaths, catalog_near_miss

PATHS = RequestPaths()


@pytest.mark.parametrize(
    ("path", "folder", "team"),
    [
        ("tenant-access/config/alpha/access.yaml", "alpha", "alpha"),
        ("tenant-access/config/team-alpha/access.yaml", "team-alpha", "alpha"),
        ("developer-requests/bravo/access.yaml", "bravo", "bravo"),
    ],
)
def test_a_request_lies_in_its_teams_folder(path: str, folder: str, team: str) -> None:
    assert (PATHS.folder(path), PATHS.team_of(path), PATHS.near_miss(path)) == (folder, team, None)


@pytest.mark.parametrize(
    "path",
    [
        "README.md",
        "access.yaml",
        "docs/alpha/access.yaml",
        "tenant-access/config/alpha/notes.yaml",
        "",
        "/",
        "a//b",
    ],
)
def test_any_other_file_is_neither_a_request_nor_a_near_miss(path: str) -> None:
    assert (PATHS.folder(path), PATHS.team_of(path), PATHS.near_miss(path)) == (None, None, None)


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("tenant-access/config/alpha/access.yml", "tenant-access/config/alpha/access.yaml"),
        ("tenant-access/config/alpha/Access.yaml", "tenant-access/config/alpha/access.yaml"),
        ("tenant-access/config/alpha/access.yaml.txt", "tenant-access/config/alpha/access.yaml"),
        ("tenant-access/config/alpha/acces.yaml", "tenant-access/config/alpha/access.yaml"),
        ("tenant-acces/config/alpha/access.yaml", "tenant-access/config/alpha/access.yaml"),
        ("Tenant_Access/configs/alpha/access.yaml", "tenant-access/config/alpha/access.yaml"),
        ("tenant-access/config/alpha/prod/access.yaml", "tenant-access/config/alpha/access.yaml"),
        ("tenant-access/config/access.yaml", "tenant-access/config/<team>/access.yaml"),
        ("developer-request/bravo/access.yaml", "developer-requests/bravo/access.yaml"),
        ("developer-requests/bravo/acc_ess.json", "developer-requests/bravo/access.yaml"),
        ("developer-requests/bravo/a-cce_s.yaml", "developer-requests/bravo/access.yaml"),
    ],
)
def test_a_near_miss_is_told_where_it_belongs(path: str, meant: str) -> None:
    advice = PATHS.near_miss(path)
    assert advice is not None
    assert advice.endswith(f"Did you mean {meant}?")


@pytest.mark.parametrize(
    "path",
    [
        "platform/config/model_catalog.yml",
        "platform/config/model-catalog.yaml",
        "platform/config/Model_Catalogue.yaml",
    ],
)
def test_a_misspelt_catalogue_is_reported(path: str) -> None:
    advice = (
        "The catalogue is only read from platform/config/model_catalog.yaml, so this file would be ignored. "
        "Rename it, or remove it."
    )
    assert catalog_near_miss(path, DEFAULT_CATALOG_PATH) == advice


@pytest.mark.parametrize("path", [DEFAULT_CATALOG_PATH, "platform/config/notes.yaml", "model_catalog.yaml"])
def test_the_catalogue_itself_and_other_files_are_not_reported(path: str) -> None:
    assert catalog_near_miss(path, DEFAULT_CATALOG_PATH) is None


def test_the_patterns_are_a_setting() -> None:
    paths = RequestPaths(("requests/*/ai/access.yaml",))
    assert paths.folder("requests/alpha/ai/access.yaml") == "alpha"
    assert paths.folder("tenant-access/config/alpha/access.yaml") is None
    assert paths.near_miss("requests/alpha/AI/access.yml") is not None


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "access.yaml",
        "*",
        "a/*",
        "*/*/access.yaml",
        "team-*/access.yaml",
        "/a/*/access.yaml",
        "a/**/access.yaml",
    ],
)
def test_a_pattern_without_exactly_one_folder_is_refused(pattern: str) -> None:
    with pytest.raises(
        ValueError,
        match=r"'\*'",
    ):
        RequestPaths((pattern,))
