"""The table of fences in docs/architecture.md has every write that a port offers, and every fence in it is
proved by a test.
"""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest

from shared import cluster_ports, ports
from tests.stages.test_moving_head import RACES, VERSIONS

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text()
#: Protocols whose methods are calls to a remote system; the clock and the app itself have none.
PORTS = {
    name: port
    for module in (ports, cluster_ports)
    for name, port in inspect.getmembers(module, inspect.isclass)
    if getattr(port, "_is_protocol", False)
    and port.__module__ == module.__name__
    and name not in ("Clock", "App")
}
READS = {
    "DeadLetters": {"peek"},
    "Repository": {
        "head", "commit_message", "file", "newest_commits", "is_ancestor", "changed_on", "tree", "blob",
        "archive",
    },
    "Gateway": {
        "product", "products", "product_policy", "is_linked", "linked_products", "subscriptions",
        "product_subscriptions", "subscription", "keys", "backends", "named_values", "api", "api_policy",
        "fragment", "takes_bearer",
    },
    "GatewayCalls": {"status"},
    "Vault": {"versions", "newest", "deleted_tags"},
    "Roles": {"granted", "readers", "readers_of"},
    "Cluster": {
        "namespace", "namespaces", "workspaces", "routes", "all_workspaces", "all_routes", "gpu_nodes",
        "limits", "config_map", "all_quotas", "all_network_policies", "release", "served", "pods", "all_pods",
        "node_claims", "external_secrets", "gateway", "gateway_controller", "network_policy_engine",
        "previous_log",
    },
    "Roads": {"ask"},
    "Projects": {"project", "projects", "connection", "tracing_key"},
    "Deliveries": {"since"},
}  # fmt: skip

IF_MATCH, VERSION, LOOK_AGAIN = "If-Match", "resourceVersion", "look again"
FIRST = f"{IF_MATCH}; the first: {LOOK_AGAIN}"
GATEWAY, CLUSTER = "tests/contract/test_gateway.py", "tests/contract/test_cluster.py"
LETTERS = "tests/contract/test_dead_letters.py"
MOVING = "tests/stages/test_moving_head.py::test_a_head_that_moves_right_after_an_unfenced_write_is_followed"
PRODUCT_FENCED = f"{GATEWAY}::test_a_product_that_changed_meanwhile_is_neither_published_nor_deleted"
SUBSCRIPTION_FENCED = f"{GATEWAY}::test_a_suspended_subscription_wakes_with_the_same_keys"
LETTER_HELD = f"{LETTERS}::test_a_letter_whose_holder_died_comes_back_and_cannot_be_taken_out_by_the_dead"

#: Write -> its fence, and the test that shows it: on the wire, adapter and stand-in, for versions; over the
#: fakes for the second look.
FENCES: dict[str, tuple[str, str]] = {
    "Gateway.publish_product": (IF_MATCH, PRODUCT_FENCED),
    "Gateway.mark_product": (
        IF_MATCH,
        f"{GATEWAY}::test_a_product_that_is_marked_keeps_its_name_and_state_and_is_fenced",
    ),
    "Gateway.require_subscription": (IF_MATCH, PRODUCT_FENCED),
    "Gateway.delete_product": (IF_MATCH, PRODUCT_FENCED),
    "Gateway.create_product": (LOOK_AGAIN, MOVING),
    "Gateway.put_product_policy": (FIRST, f"{GATEWAY}::test_a_policy_carries_the_etag_that_was_read"),
    "Gateway.put_api_policy": (FIRST, f"{GATEWAY}::test_the_apis_policy_names_what_exists"),
    "Gateway.put_api": (FIRST, f"{GATEWAY}::test_the_unified_api_is_imported_marked_and_fenced"),
    "Gateway.suspend_subscription": (IF_MATCH, SUBSCRIPTION_FENCED),
    "Gateway.put_subscription": (FIRST, SUBSCRIPTION_FENCED),
    "Gateway.delete_subscription": (
        f"{IF_MATCH}; the administrator's: {LOOK_AGAIN}",
        f"{GATEWAY}::test_a_deleted_subscription_is_gone_with_its_keys",
    ),
    "Gateway.put_backend": (LOOK_AGAIN, MOVING),
    "Gateway.delete_backend": (LOOK_AGAIN, MOVING),
    "Gateway.put_named_value": (LOOK_AGAIN, MOVING),
    "Gateway.delete_named_value": (LOOK_AGAIN, MOVING),
    "Gateway.link_product": (LOOK_AGAIN, MOVING),
    "Gateway.unlink_product": (LOOK_AGAIN, MOVING),
    "Gateway.put_fragment": (LOOK_AGAIN, MOVING),
    "Gateway.mark_api": (LOOK_AGAIN, MOVING),
    "Gateway.mark_bearer_api": (LOOK_AGAIN, MOVING),
    "Gateway.delete_api": (
        IF_MATCH,
        f"{GATEWAY}::test_the_api_of_bearer_keys_says_where_it_takes_them",
    ),
    "Gateway.regenerate_key": (LOOK_AGAIN, MOVING),
    "Gateway.put_keys": (LOOK_AGAIN, MOVING),
    "Vault.set": (LOOK_AGAIN, MOVING),
    "Vault.update": (LOOK_AGAIN, MOVING),
    "Vault.delete": (LOOK_AGAIN, MOVING),
    "Vault.recover": (LOOK_AGAIN, MOVING),
    "Roles.grant": (LOOK_AGAIN, MOVING),
    "Roles.revoke": (LOOK_AGAIN, MOVING),
    "Cluster.delete_workspace": (
        VERSION,
        f"{CLUSTER}::test_a_workspace_that_changed_meanwhile_is_not_deleted",
    ),
    "Cluster.change_workspace": (
        VERSION,
        f"{CLUSTER}::test_a_workspace_takes_another_configuration_at_the_version_read",
    ),
    "Cluster.delete_namespace": (VERSION, f"{CLUSTER}::test_a_namespace_is_gone_when_its_workspaces_are"),
    "Cluster.create": ("refused where there is one", f"{CLUSTER}::test_a_workspace_is_created_once"),
    "Cluster.apply": (LOOK_AGAIN, MOVING),
    "Cluster.delete_route": (LOOK_AGAIN, MOVING),
    "Cluster.annotate_route": (
        "says of which generation it is",
        f"{CLUSTER}::test_an_annotation_of_a_route_stays_when_the_route_is_applied",
    ),
    "Projects.create_project": (LOOK_AGAIN, MOVING),
    "Projects.update_project": (LOOK_AGAIN, MOVING),
    "Projects.delete_project": (LOOK_AGAIN, MOVING),
    "Projects.put_connection": (LOOK_AGAIN, MOVING),
    "Projects.delete_connection": (LOOK_AGAIN, MOVING),
    "Bus.send": (
        "message id",
        "tests/contract/test_bus.py::test_a_second_message_with_the_same_id_is_dropped",
    ),
    "DeadLetters.lock": ("lock", f"{LETTERS}::test_who_holds_one_keeps_others_off_until_it_is_given_back"),
    "DeadLetters.complete": ("lock", LETTER_HELD),
    "DeadLetters.release": ("lock", f"{LETTERS}::test_who_holds_one_keeps_others_off_until_it_is_given_back"),
    "Deliveries.redeliver": (
        "asking twice asks once",
        "tests/contract/test_deliveries.py::test_who_asks_twice_for_the_same_is_heard_once",
    ),
    "Reports.check_run": (
        "nothing depends on it",
        "tests/wire/test_reports.py::test_what_cannot_be_shown_is_nobodys_trouble",
    ),
    "Reports.statuses": (
        "nothing depends on it",
        "tests/wire/test_reports.py::test_what_cannot_be_shown_is_nobodys_trouble",
    ),
}


def test_every_write_of_a_port_has_a_fence() -> None:
    assert {
        f"{port.__name__}.{name}"
        for port in PORTS.values()
        for name in _methods(port) - READS.get(port.__name__, set())
    } == FENCES.keys()


def test_what_is_said_to_read_is_there_and_reads() -> None:
    writes = _calls_of_the_fakes("write")
    for port in PORTS.values():
        reads = READS.get(port.__name__, set())
        assert reads <= _methods(port)
        assert not {f"{port.__name__}.{name}" for name in reads} & writes
    assert writes == FENCES.keys()


def test_the_table_says_so() -> None:
    rows = [(method, fence) for methods, fence in _rows() for method in re.findall(r"`(\w+\.\w+)`", methods)]
    assert dict(rows) == {method: fence for method, (fence, _) in FENCES.items()}
    assert len(rows) == len(FENCES), "a write stands in two rows"


@pytest.mark.parametrize("proof", sorted({proof for _, proof in FENCES.values()}))
def test_the_proof_exists(proof: str) -> None:
    path, _, name = proof.partition("::")
    tree = ast.parse((ROOT / path).read_text())
    assert name in {
        node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def test_what_carries_a_version_takes_one_and_its_callers_are_watched() -> None:
    fenced = {method for method, (fence, _) in FENCES.items() if IF_MATCH in fence or VERSION in fence}
    assert fenced == VERSIONS.keys()
    for method in fenced:
        port, _, name = method.partition(".")
        assert {"etag", "resource_version"} & inspect.signature(
            getattr(PORTS[port], name)
        ).parameters.keys(), method


def test_every_write_without_a_version_has_its_race() -> None:
    assert {method for method, (fence, _) in FENCES.items() if LOOK_AGAIN in fence} == RACES.keys()


def _methods(port: type) -> set[str]:
    return {name for name, _ in inspect.getmembers(port, inspect.iscoroutinefunction)}


def _rows() -> list[tuple[str, str]]:
    section = PAGE.partition("## What is fenced by what")[2].partition("\n## ")[0]
    return re.findall(r"^\|[^|]+\|([^|]*`[^|]*)\| ([^|]+?) \|$", section, re.MULTILINE)


def _calls_of_the_fakes(kind: str) -> set[str]:
    """Port and method of every call that the fakes record as one that writes."""
    text = "".join(path.read_text() for path in sorted((ROOT / "tests" / "fakes").glob("*.py")))
    found = re.findall(rf'self\._calls\.{kind}\(\s*"([\w-]+)", "(\w+)"', text)
    return {f"{''.join(word.capitalize() for word in system.split('-'))}.{name}" for system, name in found}
