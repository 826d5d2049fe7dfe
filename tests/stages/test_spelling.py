"""What stands in Azure, in GitHub and on the bus, letter by letter: another version of the app reads it.

Names in the code may change. None of these may, but by a release that says so and reads the old spelling too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from shared.adapters.github_reports import CHECK, SUMMARY
from shared.messaging.messages import AccessChange, DeadLetter, DeliverKeys, Message, Sweep, TeamMessage
from shared.messaging.retry_state import IncomingMessage, Properties, RetryState, bounded_id
from shared.names import node_label
from shared.secret import SecretValue
from tests.fakes.app import GPU, OTHER_READERS, Asked, path_of
from tests.fakes.clock import START
from tests.stages.road import a_team, push, withdraw

OF_TEAM = '"subject":"alpha"'
A, B, C = "a" * 40, "b" * 40, "c" * 40
DATA = f'"team":"alpha","path":"tenant-access/config/alpha/access.yaml","commit":"{A}"'
MORE = f'"blob":"{B}","text":"ä","cause":"sweep","granted":"{C}","leave":"2 0f"'
EVERY_FIELD = f'{{"change":"requested",{DATA},{MORE}}}'


def _whole(kind: type[TeamMessage]) -> TeamMessage:
    return kind(
        change="requested",
        team="alpha",
        path=path_of("alpha"),
        commit=A,
        blob=B,
        text="ä",
        cause="sweep",
        granted=C,
        leave="2 0f",
    )


MESSAGES: dict[str, tuple[Message, str, str]] = {
    "a change": (_whole(AccessChange), EVERY_FIELD, OF_TEAM),
    "a withdrawal": (
        AccessChange(change="withdrawn", team="alpha", path=path_of("alpha"), commit=A),
        f'{{"change":"withdrawn",{DATA}}}',
        OF_TEAM,
    ),
    "keys": (_whole(DeliverKeys), EVERY_FIELD, OF_TEAM),
    "a sweep": (Sweep(why="the timer"), '{"why":"the timer"}', '"subject":"sweep"'),
    "a sweep that says everything": (
        Sweep(why="a person", verdict=True, deep=True),
        '{"why":"a person","verdict":true,"deep":true}',
        '"subject":"sweep"',
    ),
}
TYPES = {AccessChange: "access-change", DeliverKeys: "deliver-keys", Sweep: "sweep"}


@pytest.mark.parametrize("which", MESSAGES)
def test_a_message_is_spelt_as_ever(which: str) -> None:
    message, data, subject = MESSAGES[which]
    spelt = (
        f'{{"specversion":"1.0","id":"d1/x","type":"dev.mergekey.{TYPES[type(message)]}.v1",'
        '"source":"/repositories/4711","time":"2026-03-02T09:00:00.000+00:00",'
        f'"datacontenttype":"application/json","data":{data},{subject}}}'
    )
    assert message.encode("d1/x", "/repositories/4711", START).decode() == spelt
    assert type(message).decode(spelt.encode()) == message


LETTER = {
    "stage": "provision-gateway", "team": "alpha", "reason": "Rejected", "message": "400",
    "actor": "the platform", "attempts": 3, "message-id": "d1/alpha", "session": "bravo",
    "root": "d0/alpha", "sequence": 2, "replays": 1,
}  # fmt: skip
CUT = {"body-size": 300_000, "body-sha256": "9f" * 32}
WRITTEN = DeadLetter(
    "provision-gateway", "alpha", "Rejected", "400", "the platform", 3, "d1/alpha", "bravo", "d0/alpha", 2, 1
)  # fmt: skip


@pytest.mark.parametrize(
    ("letter", "spelt"),
    [(WRITTEN, LETTER), (replace(WRITTEN, body_size=300_000, body_sha256="9f" * 32), LETTER | CUT)],
    ids=["whole", "cut"],
)
def test_a_dead_letter_is_spelt_as_ever(letter: DeadLetter, spelt: Mapping[str, str | int]) -> None:
    assert letter.properties() == spelt
    assert DeadLetter.of(spelt) == letter


def test_what_the_copies_of_a_message_carry_is_spelt_as_ever() -> None:
    times = [f"2026-03-02T08:0{minute}:00Z" for minute in range(3)]
    named = dict(zip(("waiting-since", "failing-since", "denied-since"), times, strict=True))
    counts: Properties = {"root": "d1/alpha", "sequence": 4, "attempt": 2, "replays": 1}
    properties = {**counts, "waiting-for": "NodesNotReady", **named}
    trail = RetryState("d1/alpha", 4, 2, "NodesNotReady", times[0], times[1], times[2], 1)
    assert trail.properties() == properties
    assert RetryState.of(IncomingMessage(b"", "m", None, START, properties)) == trail


def test_names_that_are_made_of_hashes_are_spelt_as_ever() -> None:
    label = node_label("a-team-with-a-longer-name", "meta-llama/Llama-3.3-70B-Instruct")
    assert label == "team-a-team-with-a-longer-name--meta-llama-llama-3-ad206eb8d8fd"
    beginning, _, ending = bounded_id("d1/" + "x" * 200).rpartition("/")
    assert beginning == "d1/" + "x" * 60
    assert ending == "d7ab706647ee6dd7aea4b53c4ae802479f8c9122f6fcac8df37ce5b44b90f779"
    assert SecretValue("0123456789abcdef" * 2).fingerprint("alpha-primary-key") == "656a802254b80cb2"


async def test_tags_display_names_and_commit_statuses_are_spelt_as_ever() -> None:
    app = await a_team(Asked(dedicated={"phi-4": GPU}, playground=True))
    await push(app, {path_of("alpha"): Asked(readers=OTHER_READERS).text()})
    primary = app.vault.kept["alpha-primary-key"].versions[0].tags
    secondary = app.vault.kept["alpha-secondary-key"].versions[0].tags
    ours = {"managed-by": "mergekey", "repository": "700000001", "team": "alpha", "reader": OTHER_READERS}
    assert secondary == {**ours, "commit": app.repository.branch, "fingerprint": secondary["fingerprint"]}
    assert primary["exposed-since"] == "2026-03-02T09:00:00Z"
    await withdraw(app)
    assert app.vault.kept["alpha-endpoint"].versions[0].tags["withdrawn"] == "2026-03-02T09:00:00Z"
    assert app.gateway.state.subscriptions["team-alpha"].display_name == "mergekey/700000001/alpha"
    stages = ("gateway", "workspaces", "projects", "keys")
    assert {f"mergekey/alpha/{stage}" for stage in stages} <= {status.context for status in app.reports.shown}
    assert (CHECK, SUMMARY) == ("mergekey/requests", "mergekey/teams")
