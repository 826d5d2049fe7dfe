"""The judge of what is there in the end: what stays of a team that no catalogue judges."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from shared import names
from shared.marker import Marker
from shared.requests.paths import DEFAULT_CATALOG_PATH
from tests.fakes.app import READERS, REPOSITORY, Asked, catalog_text, path_of
from tests.fakes.projects import Kept
from tests.simulation.run import Run

#: A request that is right, one that names an unknown key, and no file.
RIGHT, WRONG = Asked(playground=True).text(), Asked(playground=True).text() + "unknown: 1\n"
USER = [("alpha", f"{READERS} may use its project")]


@pytest.fixture
def run() -> Iterator[Run]:
    """The team alpha has no product; its group has the role on its project, which was deleted."""
    made = Run(0)
    assert made.scene.app.project_roles is not None
    made.scene.app.project_roles.assigned.add((names.project("alpha"), READERS))
    yield made
    made.scene.loop.close()


def _says(run: Run, file: str | None, catalog: str) -> list[tuple[str, str]]:
    """The branch says this of alpha; what the judge finds wrong."""
    run.people.push({DEFAULT_CATALOG_PATH: catalog, path_of("alpha"): file})
    return list(run.verdict.differences())


def test_a_role_without_a_project_stays_while_no_catalogue_judges(run: Run) -> None:
    assert _says(run, RIGHT, "models: []\n") == []
    assert run.verdict.wishes()["alpha"].what == "kept"


@pytest.mark.parametrize(
    ("file", "catalog"), [(None, "models: []\n"), (WRONG, catalog_text()), (None, catalog_text())]
)
def test_it_goes_where_the_branch_is_known_to_grant_nothing(run: Run, file: str | None, catalog: str) -> None:
    run.people.push({path_of("bravo"): "a file that stays\n"})
    assert _says(run, file, catalog) == USER


def test_a_role_on_a_withdrawn_project_that_stands_is_wrong(run: Run) -> None:
    """It opens something, although the team's access has ended."""
    since = run.scene.true.now()
    marker = Marker(REPOSITORY, "alpha", path_of("alpha"), "0" * 40, withdrawn=since)
    assert run.scene.app.projects is not None
    run.scene.app.projects.kept[names.project("alpha")] = Kept("Alpha", marker, "Succeeded", since)
    assert _says(run, RIGHT, "models: []\n") == USER
