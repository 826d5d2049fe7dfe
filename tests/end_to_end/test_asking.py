"""What a team and the platform can ask, over the host: who sees what, every answer as it is described, and no
key in any.
"""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
import uuid
from typing import Any, NamedTuple

import pytest
from azure.identity import ManagedIdentityCredential
from typer.testing import CliRunner, Result

from cli.main import app
from functions.description import OPERATIONS
from standins.stack import AUDIENCE
from tests.described import as_described
from tests.end_to_end.road import Road
from tests.end_to_end.written import GPU, Request, new_team

READER = "ron.Reader"


class Answer(NamedTuple):
    status: int
    body: Any


def token_of(client: str, audience: str = AUDIENCE) -> str:
    return str(ManagedIdentityCredential(client_id=client).get_token(f"{audience}/.default").token)


def get(road: Road, path: str, client: str | None = READER) -> Answer:
    """One question, whose answer is held against the description."""
    headers = {} if client is None else {"Authorization": f"Bearer {token_of(client)}"}
    request = urllib.request.Request(f"{road.stack.host_url}/api/{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return checked(path, answer)
    except urllib.error.HTTPError as error:
        return checked(path, error)


def checked(path: str, answer: Any) -> Answer:
    assert answer.headers["Cache-Control"] == "no-store"
    body, plain = json.loads(answer.read()), path.partition("?")[0]
    matching = (
        each.name
        for each in OPERATIONS
        if each.method == "get" and re.fullmatch(re.sub(r"{\w+}", "[^/]+", each.path), f"/{plain}")
    )
    return Answer(
        answer.status, as_described(next(matching), answer.status, answer.headers["Content-Type"], body)
    )


@pytest.fixture
def group() -> str:
    return str(uuid.uuid4())


def granted(road: Road, request: Request) -> None:
    road.clone.write(request)
    road.status(road.push("Access"), request.team, "keys", "success")
    road.settle()


def conditions(record: dict[str, Any]) -> dict[str, str]:
    return {each["type"]: f"{each['status']} {each['reason']}" for each in record["conditions"]}


def test_a_member_of_the_teams_group_sees_what_the_team_has_and_nobody_elses(
    road: Road, team: str, group: str
) -> None:
    granted(road, Request(team, group, tokens=4321))
    member = f"anna-{group}"
    status, record = get(road, f"teams/{team}", member)
    assert (status, record["access"], record["ready"]) == (200, "granted", True)
    assert conditions(record) == {
        "Request": "True Valid",
        "Access": "True Granted",
        "Gateway": "True AsRequested",
        "Keys": "True InVault",
        "Workspaces": "True NothingAsked",
        "Projects": "True NothingAsked",
    }
    [model] = record["granted"]["models"]
    assert (model["tokens_per_minute"], model["chat_completions_url"]) == (
        4321,
        f"{road.stack.addresses['gateway']}/openai/deployments/gpt-4.1-mini/chat/completions",
    )
    assert [each["team"] for each in get(road, "teams", member).body["teams"]] == [team]
    assert get(road, "teams/resident", member).body == get(road, "teams/nobody", member).body
    assert get(road, "teams/resident", member).status == 404


def test_no_answer_holds_a_key_or_any_other_secret(road: Road, team: str, group: str) -> None:
    granted(road, Request(team, group))
    settings = road.stack.settings()
    secrets = {
        *road.issued_keys(team),
        settings["GITHUB_WEBHOOK_SECRET"],
        settings["SERVICE_BUS"],
        settings["GITHUB_APP_PRIVATE_KEY"],
    }
    paths = (
        "teams",
        f"teams/{team}",
        "models",
        "providers",
        "config",
        "health",
        "health?deep=true",
        "openapi.json",
        "dead-letters",
        "findings",
        f"findings?team={team}",
        f"pushes/{get(road, 'teams/' + team).body['commit']}",
    )
    for path in paths:
        answer = get(road, path)
        assert answer.status == 200, path
        assert not any(secret in json.dumps(answer.body) for secret in secrets), path


def test_a_reader_sees_every_team_and_the_platform(road: Road, team: str, group: str) -> None:
    granted(road, Request(team, group))
    assert {"resident", team} <= {each["team"] for each in get(road, "teams").body["teams"]}
    offers = {offer["name"]: offer for offer in get(road, "models").body["models"]}
    assert {"team": team, "tokens_per_minute": 5000} in offers["gpt-4.1-mini"]["grants"]["shares"]
    providers = get(road, "providers").body
    assert {backend["state"] for backend in providers["backends"]} == {"as_catalogued"}
    assert providers["differences"] == []
    settings = {row["name"]: row for row in get(road, "config").body["settings"]}
    assert (settings["API_AUDIENCE"]["value"], settings["GITHUB_WEBHOOK_SECRET"]["value"]) == (AUDIENCE, None)


def test_a_playground_is_told_as_it_stands(road: Road, team: str, group: str) -> None:
    road.clone.write(Request(team, group, playground=True))
    push = road.push("With a playground")
    road.status(push, team, "projects", "pending")
    road.advance(11)
    road.status(push, team, "projects", "success")
    road.settle()
    record = get(road, f"teams/{team}", f"anna-{group}").body
    assert (conditions(record)["Projects"], record["granted"]["playground_project"]) == (
        "True Ready",
        f"team-{team}",
    )
    [listed] = [each for each in get(road, "teams").body["teams"] if each["team"] == team]
    assert listed == record


def test_a_team_that_waits_for_its_gpu_is_told_in_the_clusters_words_since_when(
    road: Road, team: str, group: str
) -> None:
    granted(road, Request(team, group, gpu=GPU))
    # Its GPU is asked for as soon as its product stands.
    road.advance(11)
    road.settle()
    record = get(road, f"teams/{team}").body
    [workspaces] = [each for each in record["conditions"] if each["type"] == "Workspaces"]
    assert (workspaces["status"], workspaces["reason"].endswith("NotReady"), bool(workspaces["since"])) == (
        "False",
        True,
        True,
    )
    assert not record["ready"]
    [listed] = [each for each in get(road, "teams").body["teams"] if each["team"] == team]
    assert listed == record


def test_what_waits_for_people_is_told_to_the_team(road: Road, team: str, group: str) -> None:
    road.stack.control.fault("resource-manager", "PUT product policy", status=400)
    road.clone.write(Request(team, group))
    road.status(road.push("Access"), team, "gateway", "failure")
    record = get(road, f"teams/{team}", f"anna-{group}").body
    assert conditions(record)["Gateway"] == "False Rejected"
    road.clone.write(Request(team, group, tokens=1234))
    road.status(road.push("Access, once more"), team, "gateway", "success")
    assert conditions(get(road, f"teams/{team}", f"anna-{group}").body)["Gateway"].startswith("True")


def test_a_system_that_is_down_hides_its_part_of_a_team_only(road: Road, team: str, group: str) -> None:
    granted(road, Request(team, group))
    road.stack.control.fault("key-vault", ".*", status=503, count=None)
    record = get(road, f"teams/{team}").body
    road.stack.control.forget_faults()
    assert conditions(record)["Keys"] == "Unknown Throttled"
    assert conditions(record)["Gateway"] == "True AsRequested"


def test_health_names_the_system_that_does_not_answer(road: Road) -> None:
    healthy = get(road, "health?deep=true").body
    assert (healthy["healthy"], len(healthy["probes"])) == (True, 10)
    road.stack.control.fault("github", ".*", status=500, count=None)
    sick = get(road, "health?deep=true").body
    road.stack.control.forget_faults()
    assert [probe["system"] for probe in sick["probes"] if not probe["healthy"]] == ["GitHub"]
    assert not sick["healthy"]


def test_anybody_may_ask_whether_it_is_up_and_for_the_description(road: Road) -> None:
    assert get(road, "health", None).body == {"healthy": True, "probes": []}
    assert get(road, "openapi.json", None).status == 200


@pytest.mark.parametrize(
    "path", ["teams", "teams/resident", "models", "providers", "config", "health?deep=true"]
)
def test_nobody_is_told_anything_without_a_token_for_this_api(road: Road, path: str) -> None:
    assert get(road, path, None) == (401, get(road, path, None).body)
    assert get(road, path, None).body["reason"] == "NoToken"


@pytest.mark.parametrize(
    ("path", "status"),
    [("models", 200), ("teams", 200), ("providers", 403), ("config", 403), ("health?deep=true", 403)],
)
def test_without_a_role_the_catalogue_and_ones_own_teams_are_all_there_is_to_see(
    road: Road, path: str, status: int
) -> None:
    answer = get(road, path, "nobody-special")
    assert answer.status == status
    if path == "models":
        assert {offer["grants"]["shares"] for offer in answer.body["models"]} == {None}
    if path == "teams":
        assert answer.body == {"teams": []}


@pytest.mark.parametrize("path", ["teams", "teams/resident"])
def test_who_is_in_too_many_groups_is_told_what_to_do(road: Road, path: str) -> None:
    status, body = get(road, path, "carol-in-too-many-groups")
    assert (status, body["reason"]) == (403, "GroupsNotListed")
    assert "lists no groups" in body["detail"]


@pytest.mark.parametrize(
    "path", ["teams?team=alpha", "models?most=1", "health?deep=perhaps", "config?secrets=true"]
)
def test_a_question_that_is_not_understood_is_refused(road: Road, path: str) -> None:
    assert get(road, path).status == 400


# ------------------------------------------------------------------------------------------- the command line


@pytest.fixture
def as_reader(road: Road, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "ManagedIdentityCredential")
    monkeypatch.setenv("AZURE_CLIENT_ID", READER)
    monkeypatch.setenv("MERGEKEY_URL", road.stack.host_url)
    monkeypatch.setenv("MERGEKEY_AUDIENCE", AUDIENCE)


def mergekey(*words: str) -> Result:
    return CliRunner().invoke(app, words)


@pytest.mark.usefixtures("as_reader")
def test_the_command_line_shows_the_same(road: Road, group: str) -> None:
    name = new_team()
    granted(road, Request(name, group))
    assert name in mergekey("teams", "list").stdout
    shown = mergekey("teams", "show", name)
    assert shown.exit_code == 0
    assert f"{name}-primary-key" in shown.stdout
    assert "AsRequested" in shown.stdout
    assert json.loads(mergekey("teams", "show", name, "--json").stdout) == get(road, f"teams/{name}").body
    assert "gpt-4.1-mini" in mergekey("models").stdout
    missing = mergekey("teams", "show", "nobody")
    assert (missing.exit_code, "404: NoSuchTeam" in missing.stderr) == (1, True)
