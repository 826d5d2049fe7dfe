"""Settings, stages and entities are written down in several places: they must say the same."""

from __future__ import annotations

import functools
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from shared.messaging.messages import TO_ALL
from shared.messaging.routes import DEAD_LETTERS, STAGES, TOPIC
from shared.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
ENTITIES = json.loads((ROOT / "infra" / "service-bus.json").read_text())
EXAMPLE: dict[str, str] = json.loads((ROOT / "local.settings.example.json").read_text())["Values"]
#: What the Functions host needs locally and Flex Consumption does not take.
FOR_THE_HOST = {"FUNCTIONS_WORKER_RUNTIME"}
#: A connection string and a plain token: in Azure there are the identity and the GitHub App.
NOT_IN_AZURE = {"SERVICE_BUS", "GITHUB_TOKEN"}
LIST_TRIGGERS = """
import json, function_app
triggers = [binding for function in function_app.app.get_functions() for binding in map(json.loads, \
function.get_raw_bindings())]
print(json.dumps([trigger for trigger in triggers if trigger["type"] == "serviceBusTrigger"]))
"""


LIST_FUNCTIONS = """
import json, function_app
functions = function_app.app.get_functions()
print(json.dumps({each.get_function_name(): each.get_trigger().type for each in functions}))
"""


def the_settings() -> set[str]:
    return {field.alias for field in Settings.model_fields.values() if field.alias is not None}


def the_terraform_settings() -> dict[str, str]:
    """Name and value as written in the map `app_settings`."""
    text = (ROOT / "infra" / "function_app.tf").read_text()
    block = text[text.index("app_settings = {") : text.index("host_settings = {")]
    return dict(re.findall(r"^    (\w+) += (.+)$", block, re.MULTILINE))


@functools.cache
def the_triggers() -> list[dict[str, Any]]:
    """The Service Bus triggers of the app, as the host learns of them; in a process of its own, with the
    example settings.
    """
    environment = {"PATH": os.environ["PATH"], **EXAMPLE}
    command = [sys.executable, "-c", LIST_TRIGGERS]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    triggers: list[dict[str, Any]] = json.loads(done.stdout)
    return triggers


@functools.cache
def the_functions(part: str) -> dict[str, str]:
    """The kind of trigger of every function that an app has whose `APP_PART` this is."""
    environment = {"PATH": os.environ["PATH"], **EXAMPLE, "APP_PART": part}
    done = subprocess.run(
        [sys.executable, "-c", LIST_FUNCTIONS], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    functions: dict[str, str] = json.loads(done.stdout)
    return functions


def the_native(path: str, name: str) -> list[dict[str, Any]]:
    """The triggers on the native dead-letter queue of a queue or subscription."""
    return [trigger for trigger in the_triggers() if trigger.get(name) == f"{path}/$DeadLetterQueue"]


def test_the_parts_of_the_app_are_the_whole_app() -> None:
    parts = [the_functions(part) for part in ("webhook", "workers", "questions")]
    assert the_functions("all") == parts[0] | parts[1] | parts[2]


def test_what_anybody_can_call_takes_no_message_and_what_takes_messages_no_pushes() -> None:
    assert the_functions("webhook") == {"receive_push": "httpTrigger", "health": "httpTrigger"}
    assert "receive_push" not in the_functions("workers")
    assert set(the_functions("questions").values()) == {"httpTrigger"}


def test_every_setting_has_a_name() -> None:
    assert all(field.alias for field in Settings.model_fields.values())


def test_the_example_shows_every_setting_and_no_other() -> None:
    assert set(EXAMPLE) - FOR_THE_HOST == the_settings()


def test_terraform_sets_everything_that_azure_needs_and_nothing_unknown() -> None:
    assert set(the_terraform_settings()) == the_settings() - NOT_IN_AZURE


def test_terraform_sets_what_the_app_would_assume_by_itself() -> None:
    written = {
        name: value.strip('"')
        for name, value in the_terraform_settings().items()
        if value.startswith('"') and "$" not in value
    }
    fields = {field.alias: field for field in Settings.model_fields.values()}
    for name, value in written.items():
        default = fields[name].default
        assumed = (
            ",".join(default)
            if isinstance(default, tuple)
            else str(default).lower()
            if isinstance(default, bool)
            else default
        )
        assert value.rstrip("/") == str(assumed).rstrip("/"), name


@pytest.mark.parametrize("name", sorted(the_settings() | FOR_THE_HOST))
def test_the_page_about_settings_explains_each(name: str) -> None:
    assert f"| `{name}` |" in (ROOT / "docs" / "settings.md").read_text()


def test_the_page_about_settings_explains_no_other() -> None:
    written = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / "settings.md").read_text(), re.MULTILINE)
    hosts = {"AZURE_CLIENT_ID", "AZURE_TOKEN_CREDENTIALS", "SERVICE_BUS__credential", "SERVICE_BUS__clientId"}
    assert set(written) - hosts == the_settings() | FOR_THE_HOST


def test_the_entities_are_those_of_the_stages() -> None:
    queues = {stage.entity for stage in STAGES if stage.entity != TOPIC}
    assert set(ENTITIES["queues"]) == queues | {DEAD_LETTERS}
    assert set(ENTITIES["topics"]) == {TOPIC}
    assert set(ENTITIES["topics"][TOPIC]["subscriptions"]) == {
        stage.name for stage in STAGES if stage.entity == TOPIC
    }


@pytest.mark.parametrize(
    "stage", [stage for stage in STAGES if stage.entity == TOPIC], ids=lambda stage: stage.name
)
def test_a_stage_of_the_topic_takes_what_is_for_all_and_what_is_for_it(stage: Any) -> None:
    rules = ENTITIES["topics"][TOPIC]["subscriptions"][stage.name]["rules"]
    assert rules == {"all": {"to": TO_ALL}, stage.name: {"to": stage.to}}
    assert stage.to == stage.name


def test_everything_but_dead_letters_keeps_the_order_of_a_team() -> None:
    entities = {**ENTITIES["queues"], **ENTITIES["topics"][TOPIC]["subscriptions"]}
    assert {name for name, entity in entities.items() if not entity["requires_session"]} == {DEAD_LETTERS}


def test_each_queue_has_one_trigger_that_agrees_about_sessions() -> None:
    triggers = {
        trigger["queueName"]: trigger
        for trigger in the_triggers()
        if "$" not in trigger.get("queueName", "$")
    }
    assert set(triggers) == set(ENTITIES["queues"]) - {DEAD_LETTERS}
    assert all(
        trigger["isSessionsEnabled"] is ENTITIES["queues"][name]["requires_session"]
        for name, trigger in triggers.items()
    )


def test_each_subscription_has_one_trigger_that_agrees_about_sessions() -> None:
    subscriptions = ENTITIES["topics"][TOPIC]["subscriptions"]
    triggers = {
        trigger["subscriptionName"]: trigger
        for trigger in the_triggers()
        if "$" not in trigger.get("subscriptionName", "$")
    }
    assert set(triggers) == set(subscriptions)
    assert all(trigger["topicName"] == TOPIC for trigger in triggers.values())
    assert all(
        trigger["isSessionsEnabled"] is subscriptions[name]["requires_session"]
        for name, trigger in triggers.items()
    )


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_what_the_broker_puts_aside_is_collected_without_sessions(stage: Any) -> None:
    found = the_native(stage.name, "subscriptionName" if stage.entity == TOPIC else "queueName")
    assert len(found) == 1
    assert not found[0].get("isSessionsEnabled")


def test_all_triggers_use_the_connection_that_terraform_describes() -> None:
    assert {trigger["connection"] for trigger in the_triggers()} == {"SERVICE_BUS"}
    assert "SERVICE_BUS__fullyQualifiedNamespace" in the_terraform_settings()
