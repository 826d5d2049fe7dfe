"""Why a workspace does not serve: conditions, pods and NodeClaims beside the table of causes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from itertools import product
from typing import Any

import pytest

from shared.kaito.causes import CAUSES, TABLE, Sign, Verdict, judge, needed, was_never_ready
from shared.kaito.log_classes import LOG_CLASSES, LogTail, classify
from shared.kaito.witnesses import Container, NodeClaim, Pod
from tests.kaito.pods import LOADING_POD, PODS, READY_POD, STARTED, claim, ended, pod, waits

ON_THE_WAY = ("NodeClaimReady", "NodesReady", "ResourceReady", "InferenceReady")
WITH_NODES = ON_THE_WAY[:3]
MINUTE = timedelta(minutes=1)
#: That of a preset.
READINESS_TIME = timedelta(minutes=80)


def conditions(
    *true: str, verdict: str = "False", reason: str = "workspacePending", message: str = ""
) -> list[dict[str, Any]]:
    """All conditions; those named are true."""
    rows = [{"type": name, "status": "True" if name in true else "False"} for name in ON_THE_WAY]
    return [*rows, {"type": "WorkspaceSucceeded", "status": verdict, "reason": reason, "message": message}]


READY = conditions(*ON_THE_WAY, verdict="True", reason="workspaceSucceeded")
UNMEASURED = conditions(*ON_THE_WAY, reason="BenchmarkFailed", message="no result in the log")


def reason(*seen: Any, **named: Any) -> str:
    return judge(*seen, **named).cause.reason


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([], "WorkspaceNotReady"),
        ([{}], "WorkspaceNotReady"),
        (conditions(), "NodeClaimNotReady"),
        (conditions("NodeClaimReady"), "NodesNotReady"),
        (conditions("NodeClaimReady", "NodesReady"), "ResourceNotReady"),
        (conditions("NodeClaimReady", "NodesReady", "ResourceReady"), "InferenceNotReady"),
        (conditions(*ON_THE_WAY), "WorkspaceNotReady"),
        (READY, "Ready"),
        (conditions(*WITH_NODES, reason="workspaceFailed", message="CUDA"), "WorkspaceFailed"),
        (conditions(*WITH_NODES, reason="BenchmarkFailed"), "BenchmarkFailed"),
        (conditions(reason="workspaceFailed", message="timed out"), "NodeClaimNotReady"),
        ([{"type": "NodesReady", "status": "Unknown"}], "NodesNotReady"),
        ([{"type": "InferenceReady", "status": "False"}], "InferenceNotReady"),
        ([{"type": "NodeClaimsReady", "status": "False"}], "NodeClaimNotReady"),
    ],
)
def test_conditions_alone_tell_what_is_waited_for(rows: list[dict[str, Any]], expected: str) -> None:
    assert reason(rows) == reason(reversed(rows)) == expected


def test_a_workspace_of_the_add_on_has_fewer_conditions() -> None:
    rows = [row for row in conditions("NodeClaimReady") if row["type"] != "NodesReady"]
    assert reason(rows) == "ResourceNotReady"


@pytest.mark.parametrize(
    ("rows", "pods", "is_ready", "expected"),
    [
        (READY, None, True, "Ready"),
        (READY, [READY_POD], True, "Ready"),
        (READY, [LOADING_POD], False, "InferenceNotReady"),
        (READY, [], False, "PodNotThere"),
        (READY, [pod(ended(1, waiting="CrashLoopBackOff"))], False, "ContainerExits"),
        (conditions(*WITH_NODES), [READY_POD], False, "InferenceNotReady"),
        (UNMEASURED, [READY_POD], True, "BenchmarkFailed"),
        (UNMEASURED, None, False, "BenchmarkFailed"),
        (UNMEASURED, [pod(ended(0, "Completed"))], False, "EngineDied"),
    ],
)
def test_ready_is_what_every_witness_that_was_heard_says(
    rows: list[dict[str, Any]], pods: list[Pod] | None, is_ready: bool, expected: str
) -> None:
    verdict = judge(rows, 1, pods)
    assert (verdict.is_ready, verdict.cause.reason) == (is_ready, expected)


def test_a_pod_that_is_being_deleted_is_no_witness() -> None:
    going = Pod("w-0", "w", "Running", ready=True, going=True)
    assert not judge(READY, 1, [going]).is_ready


#: Exit code and reason of the container's end -> what it is, and after how long the wait ends; None: never.
ENDS: dict[tuple[int, str], tuple[str, timedelta]] = {
    (2, "Error"): ("ArgumentsRefused", timedelta(0)),
    (0, "Completed"): ("EngineDied", READINESS_TIME),
    (1, "Error"): ("ContainerExits", READINESS_TIME),
    (139, "Error"): ("ContainerExits", READINESS_TIME),
    (137, "Error"): ("StartupNotPassed", READINESS_TIME),
    (143, "Error"): ("StartupNotPassed", READINESS_TIME),
    (137, "OOMKilled"): ("OutOfMemory", READINESS_TIME),
}


@pytest.mark.parametrize(("end", "waiting"), list(product(ENDS, ("", "CrashLoopBackOff"))))
def test_an_end_means_the_same_in_the_loop_and_while_it_runs_again(
    end: tuple[int, str], waiting: str
) -> None:
    expected, after = ENDS[end]
    verdict = judge(conditions(*WITH_NODES), 1, [pod(ended(*end, waiting))])
    assert verdict.cause.reason == expected
    assert verdict.has_ended(after, READINESS_TIME)
    assert not verdict.has_ended(after - MINUTE, READINESS_TIME) or not after
    assert f"exit code {end[0]}" in verdict.text


def test_a_puller_that_is_done_is_no_engine_that_died() -> None:
    seen = pod(ended(0, "Completed", is_init=True), Container("w", running=STARTED))
    assert reason(conditions(*WITH_NODES), 1, [seen]) == "InferenceNotReady"


def test_a_startup_that_never_passes_ends_after_one_readiness_time() -> None:
    verdict = judge(conditions(*WITH_NODES), 1, [LOADING_POD])
    assert (verdict.cause.reason, verdict.since, verdict.text) == ("InferenceNotReady", STARTED, "")
    assert not verdict.has_ended(READINESS_TIME - MINUTE, READINESS_TIME)
    assert verdict.has_ended(READINESS_TIME, READINESS_TIME)
    end = verdict.at_end
    assert (end.cause.reason, end.cause.actor) == ("StartupNotPassed", "the platform")
    assert "benchmark" in end.text


def test_no_text_of_a_container_is_told() -> None:
    told = "hf_secret_token"
    rows = conditions(*WITH_NODES)
    rows[3] |= {
        "reason": "ContainerCrashLoopBackOff",
        "message": f'container "w" is in CrashLoopBackOff; last termination: {told}',
    }
    for verdict in (
        judge(rows, 1),
        judge(conditions(*WITH_NODES), 1, [pod(waits("RunContainerError", told))]),
    ):
        assert verdict.cause.reason in ("ContainerExits", "ContainerNotStarted")
        assert told not in verdict.text


def _with(text: str, *true: str) -> list[dict[str, Any]]:
    return [row | {"message": f"as usual (last reconcile error: {text})"} for row in conditions(*true)]


@pytest.mark.parametrize(
    ("said", "nodes", "expected"),
    [
        ("failed to get GPU config for instance type Standard_D8s_v5: Unsupported SKU", 0, "NodeSizeUnknown"),
        ("GPU memory 25769803776 bytes is too small, needs at least 64.3 GB", 0, "ContextDoesNotFit"),
        (
            'failed to resolve access token for model "a/b": failed to get secret: hf',
            0,
            "AccessSecretMissing",
        ),
        ("dial tcp: huggingface.co: no such host", 0, "EstimateFailed"),
        ("estimated node count 6 exceeds the maximum allowed 3; halted", 6, "NodeCountRefused"),
        ("Operation cannot be fulfilled: the object has been modified", 1, "InferenceNotReady"),
    ],
)
def test_an_estimate_that_fails_is_told_although_all_conditions_look_true(
    said: str, nodes: int, expected: str
) -> None:
    assert reason(_with(said, *WITH_NODES), nodes) == expected


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ([], "NodeClaimNotReady"),
        ([claim("AwaitingReconciliation")], "NodeClaimNotReady"),
        (
            [claim("LaunchFailed", "exceeding approved standardNCADSA100v4Family Cores quota")],
            "GpuQuotaExceeded",
        ),
        ([claim("LaunchFailed", "SkuNotAvailable: not available in swedencentral")], "GpuCapacityMissing"),
        ([claim("LaunchFailed", "all requested instance types were unavailable")], "GpuCapacityMissing"),
        ([claim("LaunchFailed")], "NodeLaunchFailed"),
        ([claim("NodeNotFound", kind="Registered")], "NodeClaimNotReady"),
        ([claim("ResourceNotRegistered", kind="Initialized")], "GpuNotRegistered"),
    ],
)
def test_node_claims_tell_what_releases_before_0_12_do_not(claims: list[NodeClaim], expected: str) -> None:
    assert reason(conditions(), 1, None, claims) == expected


def test_only_what_can_decide_is_read() -> None:
    refused = _with("failed to get GPU config", *WITH_NODES)
    asked = {
        "ready": needed(READY, 1),
        "loading": needed(conditions(*WITH_NODES), 1),
        "no node": needed(conditions(), 1),
        "nothing yet": needed([]),
        "node lost": needed(conditions("NodeClaimReady"), 1),
        "size unknown": needed(refused),
    }
    assert asked == {
        "ready": {"pods"},
        "loading": {"pods"},
        "no node": {"claims"},
        "nothing yet": {"claims"},
        "node lost": set(),
        "size unknown": set(),
    }


@pytest.mark.parametrize(
    ("rows", "state", "expected"),
    [
        (conditions(), "Pending", True),
        (conditions(*WITH_NODES), "Pending", True),
        (conditions(*WITH_NODES), "NotReady", False),
        (READY, "Ready", False),
        (READY, "", False),
        (conditions(), "", False),
        (conditions()[:3], "", True),
        ([], "", True),
    ],
)
def test_a_workspace_was_never_ready_where_that_is_sure(
    rows: list[dict[str, Any]], state: str, expected: bool
) -> None:
    assert was_never_ready(rows, state) is expected


def test_every_row_of_the_table_can_decide() -> None:
    """No row hides behind an earlier one."""
    for number, row in enumerate(TABLE):
        signs = [
            Sign(row.where, why, code, " ".join(words), log=log)
            for why in row.reasons or ("Other",)
            for code in row.exit_codes or (None, 77)
            for words in [(word,) for word in row.words] or [("",)]
            for log in (*(each for each in LOG_CLASSES if each.name in row.logs), None)
        ]
        firsts = {next(at for at, each in enumerate(TABLE) if each.fits(sign)) for sign in signs}
        assert number in firsts, row


@pytest.mark.parametrize(
    ("code", "log", "expected"),
    [
        (1, "inference_api.py: error: unrecognized arguments: True", "ArgumentsRefused"),
        (1, "huggingface_hub.errors.GatedRepoError: 401 Client Error.", "ContainerExits"),
        (1, "nothing known", "ContainerExits"),
        (2, "inference_api.py: error: unrecognized arguments: True", "ArgumentsRefused"),
        (2, "nothing known", "ArgumentsRefused"),
        (0, "inference_api.py: error: unrecognized arguments: True", "EngineDied"),
    ],
)
def test_a_log_tells_what_an_exit_code_leaves_open(code: int, log: str, expected: str) -> None:
    found = classify(LogTail(log))
    crashed = replace(ended(code, waiting="CrashLoopBackOff"), log=found)
    verdict = judge(conditions(*WITH_NODES), pods=[pod(crashed)])
    assert verdict.cause.reason == expected
    assert (found is not None) == (found is not None and found.name in verdict.text)
    assert log not in verdict.text


def test_a_cause_that_ends_a_wait_says_who_must_act() -> None:
    for each in CAUSES:
        end = Verdict(each).at_end.cause
        assert each.ends == "limit" or end.actor == "the platform", each
        assert each.ends == "limit" or end.text, each


def fact_conditions(rows: Iterable[Iterable[str]]) -> list[Mapping[str, str]]:
    return [dict(zip(("type", "status", "reason", "message"), row, strict=True)) for row in rows]


@pytest.mark.parametrize("case", PODS)
def test_pods_tell_what_each_release_keeps_to_itself(case: str) -> None:
    """Up to 0.11 the condition is the same in each of these cases."""
    expected = {
        "OOMKilled": "OutOfMemory",
        "crash loop": "ContainerExits",
        "exit code 1": "ContainerExits",
        "terminated": "ContainerExits",
        "secret": "AccessSecretMissing",
        "CreateContainerError": "ContainerNotStarted",
        "RunContainerError": "ContainerNotStarted",
        "long message": "ContainerNotStarted",
        "ImagePullBackOff": "ImageNotPulled",
        "ErrImagePull": "ImageNotPulled",
        "InvalidImageName": "ImageNameInvalid",
        "adapter image": "ImageNotPulled",
        "adapter puller": "ContainerExits",
        "unschedulable": "PodUnschedulable",
        "evicted": "PodEvicted",
        "failed": "PodFailed",
    }
    found = next((why for begin, why in expected.items() if case.startswith(begin)), "InferenceNotReady")
    assert reason(conditions(*WITH_NODES), 1, PODS[case]) == found
