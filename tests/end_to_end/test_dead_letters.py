"""Operators at the command line, over the host: what failed is listed, replayed after its cause is gone, or
discarded.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

import pytest
from azure.identity import ManagedIdentityCredential
from typer.testing import CliRunner, Result

from cli.main import app
from standins.identity import CLIENT_SECRET, OTHER_TENANT
from standins.stack import AUDIENCE, wait_until
from tests.end_to_end.road import Push, Road
from tests.end_to_end.written import Request, new_team

OPERATOR, READER = "olivia.Operator", "ron.Reader"


@pytest.fixture(autouse=True)
def as_operator(road: Road, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is signed in on this machine."""
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "ManagedIdentityCredential")
    monkeypatch.setenv("AZURE_CLIENT_ID", OPERATOR)
    monkeypatch.setenv("MERGEKEY_URL", road.stack.host_url)
    monkeypatch.setenv("MERGEKEY_AUDIENCE", AUDIENCE)


def mergekey(*words: str) -> Result:
    return CliRunner().invoke(app, words)


def listed(team: str) -> list[dict[str, Any]]:
    letters: list[dict[str, Any]] = json.loads(
        mergekey("dead-letters", "list", "--team", team, "--json").stdout
    )["letters"]
    return letters


def call(road: Road, path: str, token: str | None, body: object = None) -> tuple[int, Any]:
    """One request as any program might send it: status and JSON."""
    content = None if body is None else json.dumps(body).encode()
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    request = urllib.request.Request(f"{road.stack.host_url}/api/{path}", content, headers)
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def token_of(client: str, audience: str = AUDIENCE) -> str:
    return str(ManagedIdentityCredential(client_id=client).get_token(f"{audience}/.default").token)


def refused(road: Road, team: str) -> Push:
    """A team whose policy the gateway refused, once."""
    road.stack.control.fault("resource-manager", "PUT product policy", status=400)
    road.clone.write(Request(team))
    push = road.push("Access")
    road.status(push, team, "gateway", "failure")
    return push


def test_a_dead_letter_is_replayed_after_its_cause_is_gone_and_the_team_has_its_keys(
    road: Road, team: str
) -> None:
    push = refused(road, team)
    [letter] = listed(team)
    number = str(letter["sequence"])
    shown = mergekey("dead-letters", "list", "--team", team).stdout
    assert f"--stage provision-gateway --reason Rejected --up-to {number} --team {team} --dry-run" in shown
    assert f"name: {team}" in mergekey("dead-letters", "show", number).stdout
    chosen = ("--stage", "provision-gateway", "--reason", "Rejected", "--up-to", number, "--team", team)
    assert "ready" in mergekey("dead-letters", "replay", *chosen, "--dry-run").stdout
    assert not road.linked_apis(team)
    done = mergekey("dead-letters", "replay", *chosen, "--yes")
    assert (done.exit_code, "1 replayed" in done.stdout) == (0, True)
    road.settle()
    road.status(push, team, "gateway", "success")
    assert road.linked_apis(team) == ["ai", "ai-bearer"]
    wait_until("the keys are there", lambda: road.has_its_keys(team))
    assert listed(team) == []
    again = mergekey("dead-letters", "replay", number, "--yes")
    assert (again.exit_code, again.stdout.split()[:2]) == (1, [number, "gone"])


def test_a_stage_is_known_by_the_word_of_its_commit_status_and_a_slip_is_told(road: Road, team: str) -> None:
    refused(road, team)
    filters = ("--team", team, "--json")
    assert (
        len(json.loads(mergekey("dead-letters", "list", "--stage", "gateway", *filters).stdout)["letters"])
        == 1
    )
    assert json.loads(mergekey("dead-letters", "list", "--stage", "keys", *filters).stdout)["letters"] == []
    slip = mergekey("dead-letters", "list", "--stage", "provision-gatway")
    assert slip.exit_code == 2
    assert (
        "there is no stage 'provision-gatway'; there are sweeps, provision-catalog, provision-gateway"
        in slip.stderr
    )
    assert "No dead letters match the filter (" in mergekey("dead-letters", "list", "--reason", "Slip").stdout
    assert mergekey("dead-letters", "replay", "--reason", "Slip", "--up-to", "999999", "--yes").exit_code == 1


def test_a_replay_that_fails_again_is_a_letter_that_counts_its_replays(road: Road, team: str) -> None:
    refused(road, team)
    road.stack.control.fault("resource-manager", "PUT product policy", status=400)
    [first] = listed(team)
    mergekey("dead-letters", "replay", str(first["sequence"]), "--yes")
    road.settle()
    second = wait_until("it is a letter again", lambda: next(iter(listed(team)), None))
    assert (second["replays"], second["root"], second["attempts"]) == (1, first["root"], 1)
    assert second["sequence"] > first["sequence"]


def test_what_was_not_listed_is_not_replayed(road: Road, team: str) -> None:
    refused(road, team)
    [seen] = listed(team)
    later = new_team()
    refused(road, later)
    done = mergekey(
        "dead-letters", "replay", "--reason", "Rejected", "--up-to", str(seen["sequence"]), "--yes", "--json"
    )
    assert seen["sequence"] in [answer["sequence"] for answer in json.loads(done.stdout)["answers"]]
    road.settle()
    assert len(listed(later)) == 1
    assert mergekey("dead-letters", "replay", "--reason", "Rejected", "--yes").exit_code == 2


def test_sweeps_leave_a_waiting_letter_to_people_and_look_again_after_a_discard(
    road: Road, team: str
) -> None:
    refused(road, team)
    [letter] = listed(team)
    road.sweep()
    assert road.linked_apis(team) == []
    assert (
        mergekey(
            "dead-letters", "discard", str(letter["sequence"]), "--why", "the gateway is mended", "--yes"
        ).exit_code
        == 0
    )
    assert listed(team) == []
    road.sweep()
    assert road.linked_apis(team) == ["ai", "ai-bearer"]
    assert road.has_its_keys(team)


def test_who_discarded_what_and_why_is_in_the_log_on_one_line(road: Road, team: str) -> None:
    refused(road, team)
    [letter] = listed(team)
    mergekey(
        "dead-letters", "discard", str(letter["sequence"]), "--why", "mended\nAudit: eve discarded", "--yes"
    )
    log = (road.stack.folder / "functions-host.log").read_text()
    [line] = [line for line in log.splitlines() if f"dead letter {letter['sequence']} " in line]
    assert "Audit: olivia (" in line
    assert "because: mended\\nAudit: eve discarded" in line


def test_letters_of_teams_that_converged_since_can_be_discarded_as_a_group(road: Road, team: str) -> None:
    refused(road, team)
    [letter] = listed(team)
    number = str(letter["sequence"])
    words = (
        "discard",
        "--team",
        team,
        "--up-to",
        number,
        "--converged",
        "--why",
        "mended by a push",
        "--yes",
    )
    early = mergekey("dead-letters", *words)
    assert (early.exit_code, "1 skipped" in early.stdout) == (0, True)
    road.clone.write(Request(team, tokens=7000))
    road.status(road.push("Another limit"), team, "gateway", "success")
    road.settle()
    wait_until("the keys are there", lambda: road.has_its_keys(team))
    assert "(converged)" in mergekey("dead-letters", "list", "--team", team, "--check").stdout
    assert "1 discarded" in mergekey("dead-letters", *words).stdout


def test_a_reader_may_look_and_not_act(road: Road, team: str, monkeypatch: pytest.MonkeyPatch) -> None:
    refused(road, team)
    monkeypatch.setenv("AZURE_CLIENT_ID", READER)
    [letter] = listed(team)
    for words in (
        ("replay", str(letter["sequence"])),
        ("discard", str(letter["sequence"]), "--why", "because"),
    ):
        done = mergekey("dead-letters", *words, "--yes")
        assert (done.exit_code, "403: RoleMissing: this needs the app role Operator" in done.stderr) == (
            2,
            True,
        )
    assert mergekey("sweep").exit_code == 2
    assert len(listed(team)) == 1


@pytest.mark.parametrize("path", ["dead-letters", "dead-letters/1"])
def test_nobody_looks_without_a_token_for_this_api_and_a_role(road: Road, path: str) -> None:
    assert call(road, path, None)[0] == 401
    assert call(road, path, "nonsense")[0] == 401
    assert call(road, path, token_of(OPERATOR, "https://vault.azure.net"))[0] == 401
    status, answer = call(road, path, token_of("nobody-special"))
    assert (status, answer["reason"]) == (403, "RoleMissing")


def test_a_token_of_another_tenant_opens_nothing(road: Road) -> None:
    form = (
        f"grant_type=client_credentials&client_id={OPERATOR}&client_secret={CLIENT_SECRET}&scope={AUDIENCE}/."
        "default"
    )
    url = f"{road.stack.addresses['identity']}/{OTHER_TENANT}/oauth2/v2.0/token"
    with urllib.request.urlopen(urllib.request.Request(url, form.encode()), timeout=120) as answer:
        token = json.loads(answer.read())["access_token"]
    assert call(road, "dead-letters", token)[0] == 401


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"sequences": []},
        {"sequences": [0]},
        {"sequences": "all"},
        {"sequences": [1], "reason": "Rejected"},
        {"sequences": [1] * 201},
        7,
    ],
)
def test_an_order_that_names_no_letters_is_refused(road: Road, body: object) -> None:
    status, answer = call(road, "dead-letters/replay", token_of(OPERATOR), body)
    assert (status, answer["reason"]) == (400, "BadRequest")


@pytest.mark.parametrize(
    "path",
    [
        "dead-letters?taem=alpha",
        "dead-letters?from=x",
        "dead-letters/replay",
        "dead-letters?most=0",
        "dead-letters?stage=x",
    ],
)
def test_a_question_that_is_not_understood_is_refused(road: Road, path: str) -> None:
    assert call(road, path, token_of(READER))[0] == 400


def test_a_letter_that_is_not_there_is_not_found(road: Road) -> None:
    done = mergekey("dead-letters", "show", "999999")
    assert (done.exit_code, "404: Gone" in done.stderr) == (1, True)


def test_a_deep_sweep_that_is_asked_for_finds_a_key_that_was_made_new_by_hand(road: Road, team: str) -> None:
    road.clone.write(Request(team))
    road.status(road.push("Access"), team, "keys", "success")
    road.apim.subscription.regenerate_primary_key("ai", "contoso-ai", f"team-{team}")
    assert not road.has_its_keys(team)
    done = mergekey("sweep", "--deep")
    assert (done.exit_code, done.stdout.startswith("Queued: sweep-")) == (0, True)
    wait_until("the new key is in the vault", lambda: road.has_its_keys(team))


def test_a_sweep_of_one_team_is_tried_first_and_then_waited_for(road: Road, team: str) -> None:
    road.clone.write(Request(team))
    road.status(road.push("Access"), team, "keys", "success")
    road.settle()
    road.apim.product_api.delete("ai", "contoso-ai", f"team-{team}", "ai")
    assert f"create product link team-{team}" in " ".join(mergekey("sweep", "--dry-run").stdout.split())
    assert mergekey("findings", "--team", team).stdout.split()[3:5] == ["difference", team]
    done = mergekey("sweep", "--team", team, "--wait")
    assert (done.exit_code, done.stdout.splitlines()[-1]) == (0, "Nothing differs.")
    assert "ai" in {
        api.name for api in road.apim.product_api.list_by_product("ai", "contoso-ai", f"team-{team}")
    }


def test_a_new_key_of_a_team_with_a_letter_reaches_the_vault_after_that_is_discarded(
    road: Road, team: str
) -> None:
    road.clone.write(Request(team))
    road.status(road.push("Access"), team, "keys", "success")
    road.stack.control.fault("resource-manager", "PUT product policy", status=400)
    road.clone.write(Request(team, tokens=7000))
    road.status(road.push("Another limit"), team, "gateway", "failure")
    [letter] = listed(team)
    road.apim.subscription.regenerate_primary_key("ai", "contoso-ai", f"team-{team}")
    assert mergekey("sweep", "--deep").exit_code == 0
    road.settle()
    assert not road.has_its_keys(team)
    assert (
        mergekey(
            "dead-letters", "discard", str(letter["sequence"]), "--why", "the gateway is mended", "--yes"
        ).exit_code
        == 0
    )
    assert mergekey("sweep", "--deep").exit_code == 0
    wait_until("the new key is in the vault", lambda: road.has_its_keys(team))
