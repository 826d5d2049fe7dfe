"""Logs of pods, as clients of Kubernetes read them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from kubernetes.aio.client.exceptions import ApiException

from standins.tests.kubernetes.cluster import MINUTE, Cluster, a_workspace, options, with_namespace
from standins.tests.plugin import StandIns

NAME = "phi-4"


@pytest.fixture
async def cluster(standins: StandIns) -> AsyncIterator[Cluster]:
    async with with_namespace(standins) as cluster:
        yield cluster


async def _log(cluster: Cluster, **query: Any) -> str:
    return str(await cluster.core.read_namespaced_pod_log(f"{NAME}-0", cluster.namespace, **query))


async def test_the_last_lines_of_the_run_before_are_taken_and_then_cut(
    cluster: Cluster, standins: StandIns
) -> None:
    await cluster.apply(a_workspace())
    wish = {"workspace": f"{cluster.namespace}/{NAME}", "reason": "CrashLoopBackOff", "log": "argument"}
    with options(standins.control, fail=wish):
        standins.control.advance(7 * MINUTE)
        whole = await _log(cluster, container=NAME, previous=True)
        assert whole.splitlines()[-1].startswith("inference_api.py: error: ")
        assert await _log(cluster, previous=True, tail_lines=1) == whole.splitlines(keepends=True)[-1]
        assert await _log(cluster, previous=True, tail_lines=2, limit_bytes=9) == "   " * 3


@pytest.mark.parametrize(
    ("query", "code", "text"),
    [
        ({"previous": True}, 400, f'previous terminated container "{NAME}" in pod "{NAME}-0" not found'),
        ({"container": "other"}, 400, f"container other is not valid for pod {NAME}-0"),
    ],
)
async def test_a_log_that_is_not_there_is_refused(
    cluster: Cluster, standins: StandIns, query: dict[str, Any], code: int, text: str
) -> None:
    await cluster.apply(a_workspace())
    standins.control.advance(7 * MINUTE)
    with pytest.raises(ApiException) as refused:
        await _log(cluster, **query)
    assert (refused.value.status, text in json.loads(str(refused.value.body))["message"]) == (code, True)
    assert "Starting to load model" in await _log(cluster)


async def test_a_pod_that_is_not_there_has_no_log(cluster: Cluster) -> None:
    with pytest.raises(ApiException) as refused:
        await _log(cluster)
    assert refused.value.status == 404
