"""Teams are read one by one: what cannot be read of one of them keeps nothing else from being put right."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from shared.errors import MergekeyError, Rejected, Unavailable
from shared.messaging.messages import Sweep
from shared.messaging.routes import TOPIC
from shared.names import CATALOG_TEAM
from shared.requests.paths import DEFAULT_CATALOG_PATH
from shared.stages.settlement import start_sweep
from shared.stages.sweep import run_sweep
from tests.fakes.app import GPU, Asked, FakeApp, an_event, catalog_text
from tests.fakes.calls import Call, nothing
from tests.fakes.cluster import Kept
from tests.fakes.gateway import Policy
from tests.stages.road import a_platform, a_team, ask, drain, later, push, shown, sweep


async def three_teams_with_edited_policies() -> FakeApp:
    app = await a_team()
    await ask(app, Asked(team="bravo"))
    await ask(app, Asked(team="carol"))
    app.gateway.state.fragments.clear()
    for product in app.gateway.state.policies:
        app.gateway.state.policies[product] = Policy("<policies/>", '"edited"')
    return app


def refuse(app: FakeApp, target: str, error: MergekeyError) -> None:
    async def before(call: Call) -> None:
        if call.name == "product_policy" and call.target == target:
            raise error

    app.calls.before = before


@pytest.mark.parametrize("error", [Rejected("400"), Unavailable("404", reason="NotFound")])
async def test_who_cannot_be_read_is_told_and_the_others_are_put_right(
    error: MergekeyError, caplog: pytest.LogCaptureFixture
) -> None:
    app = await three_teams_with_edited_policies()
    seen = len(app.bus.sent)
    refuse(app, "team-bravo", error)
    with pytest.raises(type(error)):
        await run_sweep(app, an_event(app, Sweep(why="a test", deep=True), "sweep-1"))
    assert sorted(str(sent.session) for sent in app.bus.sent[seen:] if sent.entity == TOPIC) == [
        "alpha",
        "carol",
        CATALOG_TEAM,
    ]
    assert f"Sweep: bravo: could not be looked at deeply: {error}" in caplog.text


async def test_who_could_not_be_read_for_a_moment_is_put_right_by_the_same_sweep() -> None:
    app = await three_teams_with_edited_policies()
    refuse(app, "team-bravo", Unavailable("500"))
    await start_sweep(app, "a test", deep=True)
    await drain(app)
    app.calls.before = nothing
    await drain(app, app.bus.next_due())
    assert not [policy for policy in app.gateway.state.policies.values() if policy.text == "<policies/>"]
    assert app.bus.dead_letters() == []


_CONFIGURED = catalog_text().replace("preset: phi-4\n", "preset: phi-4\n    context: 8192\n")


async def _configured() -> tuple[FakeApp, Kept]:
    """A team whose workspace has a configuration, and that configuration."""
    app = await a_platform()
    await push(app, {DEFAULT_CATALOG_PATH: _CONFIGURED})
    await ask(app, Asked(dedicated={"phi-4": GPU}))
    await later(app, timedelta(minutes=20))
    app.calls.forget()
    assert app.cluster is not None
    [name] = app.cluster.names("team-alpha", "ConfigMap")
    return app, app.cluster.state.objects["team-alpha", "ConfigMap", name]


@pytest.mark.parametrize("edit", [{"immutable": False}, {"data": {"inference_config.yaml": "vllm: {}\n"}}])
async def test_a_configuration_that_people_edited_is_told_and_left_alone(edit: dict[str, Any]) -> None:
    app, kept = await _configured()
    kept.manifest = {**kept.manifest, **edit}
    await sweep(app, deep=True)
    assert shown(app)["workspaces"].startswith("failure: NotManaged: there is a ConfigMap ")
    assert app.calls.writes("cluster") == []
    assert {**kept.manifest, **edit} == kept.manifest


async def test_a_configuration_that_is_gone_is_made_again_before_a_restart_needs_it() -> None:
    app, kept = await _configured()
    assert app.cluster is not None
    name = kept.manifest["metadata"]["name"]
    del app.cluster.state.objects["team-alpha", "ConfigMap", name]
    await sweep(app)
    assert app.calls.writes("cluster") == [], "no list shows it"
    await sweep(app, deep=True)
    assert app.cluster.names("team-alpha", "ConfigMap") == [name]
    assert not [each for each in app.calls.writes("cluster") if "orkspace" in each], "no model is restarted"


async def test_a_configuration_of_a_shared_workspace_that_is_gone_is_made_again() -> None:
    app = await a_platform()
    shared = (
        f"  - {{name: phi, provider: kaito, preset: phi-4, context: 8192, shared: {{instanceType: {GPU}}}}}\n"
    )
    await push(app, {DEFAULT_CATALOG_PATH: catalog_text() + shared})
    await later(app, timedelta(minutes=30))
    assert app.cluster is not None
    [name] = app.cluster.names("team-catalogue", "ConfigMap")
    app.calls.forget()
    await sweep(app, deep=True)
    assert app.calls.writes("cluster") == []
    del app.cluster.state.objects["team-catalogue", "ConfigMap", name]
    await sweep(app, deep=True)
    assert app.cluster.names("team-catalogue", "ConfigMap") == [name]
    assert not [each for each in app.calls.writes("cluster") if "orkspace" in each], "no model is restarted"


async def test_without_the_right_to_look_at_configurations_the_rest_is_compared() -> None:
    app, _ = await _configured()
    assert app.cluster is not None
    app.cluster.denied.add("ConfigMap")
    app.gateway.state.policies["team-alpha"] = Policy("<policies/>", '"edited"')
    await sweep(app, deep=True)
    assert app.gateway.state.policies["team-alpha"].text != "<policies/>"
    assert app.bus.dead_letters() == []
