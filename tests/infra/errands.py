"""Everything that the app does in its life, once: so that each of its rights is needed."""

from __future__ import annotations

import json
from typing import Any

from azure.mgmt.apimanagement.models import SubscriptionUpdateParameters

from standins.stack import APIM_ID, AUDIENCE, Stack, ask
from tests.end_to_end.road import DAY, Road
from tests.end_to_end.written import CATALOG_PATH, GPU, Request
from tests.infra.access import client_id, give, token
from tests.upgrade.teams import CATALOG as OF_UPGRADES
from tests.upgrade.teams import GROUPS

HOUR = 3600.0
#: With a model that has an access secret, a bound and a configuration; and with another configuration, which
#: takes no other node.
CATALOG = OF_UPGRADES.replace(
    "preset: phi-4\n",
    "preset: phi-4\n    accessSecret: hugging-face\n    maxNodes: 2\n    context: 8192\n",
)
LONGER = CATALOG.replace("context: 8192", "context: 16384")
_AT = APIM_ID.split("/")[4], APIM_ID.split("/")[-1]
#: Beside so many that stay, the guard lets a few go.
RESIDENTS = [f"resident-{number:02}" for number in range(16)]
#: A model of the catalogue with a key of its provider: a named value, and a backend.
_PROVIDER = "claude-sonnet"


class Office(Stack):
    """The three apps, each with an identity that has the roles of the table, and no others."""

    part = "webhook"

    def start_host(self) -> None:
        """`host_url` is that of the workers, whom operators ask."""
        give(self)
        self.part = "webhook"
        self.webhook_url = self._start_host(self._port)[1]  # where GitHub calls
        self.part = "questions"
        self.questions_url = self._start_host(0)[1]
        self.part = "workers"
        self.host, self.host_url = self._start_host(0)

    def settings(self) -> dict[str, str]:
        shared, who = super().settings(), client_id(self.part)
        bus = shared["SERVICE_BUS"].replace("KeyName=local", f"KeyName={who}")
        secret = shared["GITHUB_WEBHOOK_SECRET"] if self.part == "webhook" else ""
        mine = {
            "POD_LOGS": "true",
            "APP_PART": self.part,
            "AZURE_CLIENT_ID": who,
            "GITHUB_WEBHOOK_SECRET": secret,
        }
        return {**shared, "SERVICE_BUS": bus, **mine}


def run_errands(office: Office, road: Road) -> None:
    """From the first catalogue to teams that are gone and come back; asks and repairs too."""
    _begin(office, road)
    _change_hands(road)
    _take_away(road)
    _come_back(road)
    _repair(road)
    _ask(office)


def _begin(office: Office, road: Road) -> None:
    """The team with a GPU is asked about while its node comes, its model crashes, and it loads."""
    for name in ("anthropic-key", "content-safety"):
        road.vault.set_secret(name, "of a provider")
    road.clone.write_text(CATALOG_PATH, CATALOG)
    road.clone.write(*(Request(name) for name in RESIDENTS))
    road.clone.write(Request("alpha", GROUPS["one"], playground=True), Request("bravo", gpu=GPU))
    road.clone.write(Request("charlie"))
    push = road.push("Everybody asks")
    _pass(road, 11, 61, 61)
    ask_app(office, "teams", at=office.questions_url)
    crash = {"workspace": "team-bravo/phi-4", "reason": "CrashLoopBackOff", "log": "gated"}
    office.control.set_options("kubernetes", fail=crash)
    _pass(road, 361, 61)
    for url in (office.questions_url, office.host_url):
        assert "LogWeightsRefused" in json.dumps(ask_app(office, "teams/bravo", at=url))
    office.control.set_options("kubernetes", fail=None)
    _pass(road, 301, 721)
    ask_app(office, "teams", at=office.questions_url)
    for team, stage in (("alpha", "keys"), ("alpha", "projects"), ("bravo", "workspaces")):
        road.status(push, team, stage, "success")


def _change_hands(road: Road) -> None:
    """Another group, no traces any more, a longer context, a day later."""
    text = str(Request("alpha", GROUPS["two"], playground=True)).replace(
        "tracingEnabled: true", "tracingEnabled: false"
    )
    road.clone.write_text("tenant-access/config/alpha/access.yaml", text)
    road.clone.write_text(CATALOG_PATH, LONGER)
    push = road.push("In other hands")
    _pass(road, 61, DAY)
    road.sweep()
    for team, stage in (("alpha", "keys"), ("bravo", "workspaces"), ("catalogue", "workspaces")):
        road.status(push, team, stage, "success")


def _take_away(road: Road) -> None:
    """A GPU, a team, a provider, bearer keys; what is left of them goes after the grace."""
    road.clone.write(Request("bravo"))
    road.clone.remove("alpha", "charlie")
    # Somebody took over the subscription of one: its keys are theirs, and only the link can be taken away.
    road.apim.subscription.update(
        *_AT, "team-charlie", "*", SubscriptionUpdateParameters(display_name="Ours")
    )
    models = LONGER.split("\n\n")
    left = "\n\n".join(one for one in models if _PROVIDER not in one)
    road.clone.write_text(CATALOG_PATH, f"bearerKeys: false\n{left}")
    road.push("Less of everything")
    _pass(road, 61, 61, HOUR, 61, 61)
    road.stack.control.advance(8 * DAY)
    for _ in range(3):
        road.sweep()
        _pass(road, 61, 361)
    assert "team-alpha" not in road.products()
    assert "team-bravo" not in road.namespaces()


def _come_back(road: Road) -> None:
    road.clone.write(Request("alpha", GROUPS["one"]))
    push = road.push("Back after all")
    _pass(road, 31, 31, 61)
    road.status(push, "alpha", "keys", "success")


def _repair(road: Road) -> None:
    """What cannot be done becomes a dead letter; operators replay one and discard one."""
    for team in ("delta", "echo"):
        road.stack.control.fault("resource-manager", "PUT product policy", status=400)
        road.clone.write(Request(team))
        road.status(road.push(f"{team} asks"), team, "gateway", "failure")
    ask_app(road.stack, "dead-letters/replay", {"sequences": _letters(road, "delta")})
    discarded = {"sequences": _letters(road, "echo"), "why": "it is the last errand"}
    ask_app(road.stack, "dead-letters/discard", discarded)
    road.settle()
    ask_app(road.stack, "sweeps", {"deep": True})
    road.settle()


def _letters(road: Road, team: str) -> list[int]:
    return [letter["sequence"] for letter in ask_app(road.stack, f"dead-letters?team={team}")["letters"]]


def _ask(office: Office) -> None:
    """People ask the app for questions; operators may ask the workers the same, and how everything is."""
    for question in ("teams", "teams/alpha", "models", "providers", "config"):
        for url in (office.questions_url, office.host_url):
            ask_app(office, question, at=url)
    ask_app(office, "health?deep=true")


def ask_app(stack: Stack, question: str, body: Any = None, at: str = "") -> Any:
    """A question of an operator, to the workers unless another address is given."""
    method = "GET" if body is None else "POST"
    url = f"{at or stack.host_url}/api/{question}"
    return ask(method, url, body, {"Authorization": f"Bearer {token(stack, 'olivia.Operator', AUDIENCE)}"})


def _pass(road: Road, *seconds: float) -> None:
    for each in seconds:
        road.advance(each)
