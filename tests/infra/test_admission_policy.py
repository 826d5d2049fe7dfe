"""What is applied to the cluster names the app's identities, and what is looked for before."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import yaml

from shared.adapters.kaito_objects import namespace_of
from shared.marker import Marker
from shared.resources.namespace_labels import OUR_LABEL, has_our_label
from shared.resources.workspaces import MANAGED_BY, MANAGER, namespace_manifest
from tests.conftest import ROOT

INFRA = ROOT / "infra"
POLICY: Mapping[str, Any] = next(
    each
    for each in yaml.safe_load_all((INFRA / "kubernetes" / "only-team-namespaces.yaml").read_text())
    if each["kind"] == "ValidatingAdmissionPolicy"
)


def test_the_policy_is_about_the_workers_and_every_write_of_theirs() -> None:
    spec = POLICY["spec"]
    assert spec["failurePolicy"] == "Fail"
    assert [each["expression"] for each in spec["matchConditions"]] == [
        "request.userInfo.username == 'APP_OBJECT_ID'"
    ]
    [rule] = spec["matchConstraints"]["resourceRules"]
    assert (rule["apiGroups"], rule["apiVersions"], rule["resources"]) == (["*"], ["*"], ["*/*"])
    assert set(rule["operations"]) == {"CREATE", "UPDATE", "DELETE", "CONNECT"}


def test_every_refusal_of_the_policy_is_a_403_with_a_message() -> None:
    for validation in POLICY["spec"]["validations"]:
        assert validation["reason"] == "Forbidden"
        assert validation["message"]


def test_the_policy_looks_at_the_label_that_the_app_gives() -> None:
    expressions = {each["name"]: each["expression"] for each in POLICY["spec"]["variables"]}
    for name in ("isLabelled", "staysLabelled"):
        assert f"labels['{MANAGED_BY}'] == '{MANAGER}'" in expressions[name]


def _namespace(team: str, labels: dict[str, str] | None) -> dict[str, Any]:
    manifest = namespace_manifest(Marker(1, team, "", ""))
    metadata = {**manifest["metadata"], "labels": labels, "resourceVersion": "1"}
    return {"metadata": metadata, "status": {"phase": "Active"}}


def _looked_for(*items: dict[str, Any]) -> tuple[int, str]:
    program = [sys.executable, str(INFRA / "namespaces_without_label.py")]
    found = subprocess.run(program, input=json.dumps({"items": items}), capture_output=True, text=True)
    assert found.stderr == ""
    return found.returncode, found.stdout


def test_namespaces_of_ours_without_the_label_are_found_before_the_policy_is_applied() -> None:
    labelled = _namespace("alpha", {MANAGED_BY: MANAGER})
    theirs = {"metadata": {"name": "team-payments", "labels": {"app": "payments"}}}
    copied = {**_namespace("alpha", None), "metadata": {**labelled["metadata"], "name": "copy", "labels": {}}}
    assert _looked_for(labelled, theirs, copied) == (0, "")
    for labels in ({}, None, {MANAGED_BY: "Helm"}):
        bare = _namespace("bravo", labels)
        assert not has_our_label(namespace_of(bare))
        line = f"kubectl label namespace team-bravo {OUR_LABEL} --overwrite\n"
        assert _looked_for(labelled, theirs, bare) == (1, line)
