"""The table of roles and the calls that the app makes: nothing is missing, nothing is too much."""

from __future__ import annotations

import json
import urllib.error
from collections.abc import Iterator

import pytest
import yaml

from standins.identity import IDENTITY_HEADER
from standins.stack import FEW_SESSIONS
from standins.world import Right
from tests.conftest import ROOT
from tests.end_to_end.road import Road
from tests.end_to_end.written import Clone
from tests.infra.access import (
    BUS,
    PLACES,
    TABLE,
    assignments,
    by_built_in_roles,
    by_the_table,
    covered,
    identities,
    of_the_github_app,
    used,
    used_at_github,
    with_pod_logs,
)
from tests.infra.errands import Office, ask_app, run_errands

#: Used by the host and by the platform, which the stand-ins do not play.
NOT_BY_THE_APP = {
    "webhook reads its own",
    "webhook keeps its state",
    "workers read their own",
    "workers keep their state",
    "scaler looks at the bus",
    "questions read their own",
    "questions keep their state",
}
#: The outcome of a long write is asked for where the service says; in its examples that is below the tenant.
ELSEWHERE = "Microsoft.ApiManagement/service/operationresults/read"


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """The three apps, after they did all that they can do."""
    folder = tmp_path_factory.mktemp("office")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IDENTITY_HEADER", IDENTITY_HEADER)
        office = Office(folder, ROOT, FEW_SESSIONS)
        with office:
            patch.setenv("IDENTITY_ENDPOINT", f"{office.addresses['identity']}/msi/token")
            road = Road(office, Clone(office.git_url, folder / "clone"))
            run_errands(office, road)
            road.close()
            yield office


@pytest.fixture(scope="module")
def rights(office: Office) -> set[Right]:
    """What every identity needed at the stand-ins."""
    return office.control.rights()


@pytest.mark.parametrize("who", sorted(identities()))
def test_an_identity_has_every_right_that_it_needs(rights: set[Right], who: str) -> None:
    needed = used(rights, who)
    assert needed
    assert {one for one in needed - by_the_table(who) if not covered(one, by_built_in_roles(who))} == set()


@pytest.mark.parametrize("who", sorted(identities()))
def test_an_identity_needs_every_right_that_it_has(rights: set[Right], who: str) -> None:
    spare = by_the_table(who) - used(rights, who)
    assert {one for one in spare if one.needed != ELSEWHERE} == set()


@pytest.mark.parametrize("who", sorted(identities()))
def test_a_built_in_role_is_given_where_it_is_needed(rights: set[Right], who: str) -> None:
    needed = used(rights, who)
    for name, row in assignments(who):
        if row["role"] not in TABLE["own_roles"] and row["at"] in PLACES:
            assert any(one.at == row["at"] for one in needed - by_the_table(who)), name


@pytest.mark.parametrize("file", ["rbac.yaml", "readers.yaml"])
def test_reading_logs_is_off_until_somebody_takes_the_signs_off(file: str) -> None:
    text = (ROOT / "infra" / "kubernetes" / file).read_text()
    given = [
        [rule["resources"] for role in yaml.safe_load_all(each) for rule in role.get("rules", ())]
        for each in (text, with_pod_logs(text))
    ]
    assert [sum(one == ["pods/log"] for one in found) for found in given] == [0, 1]


def test_the_github_app_asks_for_the_permissions_that_it_needs(rights: set[Right]) -> None:
    """Every App has `metadata`."""
    assert {"metadata": "read", **used_at_github(rights)} == of_the_github_app()


def test_only_the_workers_look_whether_everything_answers(office: Office) -> None:
    assert ask_app(office, "health?deep=true")["healthy"]
    for url in (office.webhook_url, office.questions_url):
        assert ask_app(office, "health", at=url)["healthy"]
        with pytest.raises(urllib.error.HTTPError) as refused:
            ask_app(office, "health?deep=true", at=url)
        assert (refused.value.code, json.load(refused.value)["reason"]) == (404, "NotHere")


def test_only_what_the_platform_needs_is_not_shown_by_calls() -> None:
    mine = {name: row for who in identities() for name, row in assignments(who)}
    unseen = {name for name, row in mine.items() if row["at"] not in PLACES.keys() | BUS.keys()}
    assert unseen == NOT_BY_THE_APP
