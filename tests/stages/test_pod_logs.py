"""What the log of a container that crashes adds to the cause, where the platform lets it be read."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.errors import Unavailable
from shared.kaito.witnesses import Container, Pod
from tests.fakes.app import GPU, Asked, FakeApp
from tests.fakes.calls import Call
from tests.fakes.cluster import FakeCluster
from tests.kaito.pods import ended, pod
from tests.stages.asking import condition, record
from tests.stages.road import a_platform, ask, later, shown, sweep

HOME, PHI_4 = "team-alpha", "team-alpha/phi-4"
MINUTE = timedelta(minutes=1)
TOKEN = "hf_of_somebody"
GATED = f"HF_TOKEN={TOKEN}\nhuggingface_hub.errors.GatedRepoError: 401 Client Error.\n"
LOOP = ended(1, waiting="CrashLoopBackOff")


def _cluster(app: FakeApp) -> FakeCluster:
    assert app.cluster is not None
    return app.cluster


async def _crashing(*pods: Pod, log: str = GATED, pod_logs: bool = True) -> FakeApp:
    """A team's model crashes since its node is there, four minutes ago."""
    app = await a_platform()
    app.pod_logs = pod_logs
    _cluster(app).shown[PHI_4] = pods or (pod(LOOP),)
    _cluster(app).logs[PHI_4] = log
    await ask(app, Asked(dedicated={"phi-4": GPU}))
    await later(app, 10 * MINUTE)
    return app


def _read(app: FakeApp) -> list[str]:
    return [call.target for call in app.calls.made if call.name == "previous_log"]


async def test_without_the_setting_no_log_is_read() -> None:
    app = await _crashing(pod_logs=False)
    assert shown(app)["workspaces"].startswith("pending: waiting: ContainerExits")
    await record(app)
    await sweep(app)
    assert _read(app) == []


async def test_status_and_answer_name_the_class_and_nothing_of_the_text() -> None:
    app = await _crashing()
    told = condition(await record(app), "Workspaces")
    assert told.reason == "ContainerExits"
    for text in (shown(app)["workspaces"], told.message):
        assert "LogWeightsRefused" in text
        assert TOKEN not in text
    assert set(_read(app)) == {f"{HOME}/w-0"}


async def test_a_log_that_says_that_no_try_can_help_ends_the_wait(caplog: pytest.LogCaptureFixture) -> None:
    app = await _crashing(log=f"{TOKEN}\ninference_api.py: error: unrecognized arguments: {TOKEN}\n")
    assert shown(app)["workspaces"].startswith("failure: ArgumentsRefused: ")
    [letter] = app.bus.dead_letters()
    told = f"{letter!r} {shown(app)} {caplog.text}"
    assert ("LogArgumentUnknown" in told, TOKEN in told) == (True, False)
    assert _cluster(app).names(HOME, "Workspace") == ["phi-4"], "nothing is deleted for it"


_NOT_ONE = {
    "killed for want of memory": pod(ended(137, "OOMKilled", "CrashLoopBackOff")),
    "ended well": pod(ended(0, "Completed", "CrashLoopBackOff")),
    "not started again yet": pod(Container("w", end="Error", exit_code=1)),
    "a puller of adapters": pod(ended(1, waiting="CrashLoopBackOff", is_init=True)),
}


@pytest.mark.parametrize("case", _NOT_ONE)
async def test_only_what_leaves_the_cause_open_is_looked_up(case: str) -> None:
    assert _read(await _crashing(_NOT_ONE[case])) == []


async def test_of_many_pods_one_log_is_read_at_a_look() -> None:
    pods = [Pod(f"w-{number}", "w", "Running", containers=(LOOP,)) for number in (2, 0, 1)]
    assert set(_read(await _crashing(*pods))) == {f"{HOME}/w-0"}


async def test_a_missing_right_is_told_and_costs_only_the_class(caplog: pytest.LogCaptureFixture) -> None:
    app = await a_platform()
    _cluster(app).denied |= {"pods/log"}
    app.pod_logs = True
    _cluster(app).shown[PHI_4] = (pod(LOOP),)
    await ask(app, Asked(dedicated={"phi-4": GPU}))
    await later(app, 10 * MINUTE)
    assert shown(app)["workspaces"].startswith("pending: waiting: ContainerExits")
    assert "pods/log" in caplog.text


async def test_a_kubelet_that_does_not_answer_costs_only_the_class() -> None:
    app = await _crashing(pod_logs=False)
    app.pod_logs = True

    async def away(call: Call) -> None:
        if call.name == "previous_log":
            raise Unavailable("the node does not answer")

    app.calls.before = away
    await later(app, 2 * MINUTE)
    assert shown(app)["workspaces"].startswith("pending: waiting: ContainerExits")
    assert _read(app) != []
