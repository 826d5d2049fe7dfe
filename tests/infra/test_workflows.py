"""The workflows at GitHub, of this repository and of the template for requests; and what `azd` reads."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from shared.settings import Settings
from tests.conftest import ROOT

TEMPLATE = ROOT / "examples" / "access-repo"
WORKFLOWS = [
    *sorted((ROOT / ".github" / "workflows").iterdir()),
    *sorted((TEMPLATE / ".github" / "workflows").iterdir()),
]
BAD_REQUEST = "team: {name: delta, owner: delta@contoso.com}\nmodels: {foundry: [{name: gpt-4.l}]}\n"
_OUTPUTS = re.findall(r'^output "(\w+)"', (ROOT / "infra" / "outputs.tf").read_text(), re.MULTILINE)
_VARIABLES = re.findall(r'^variable "(\w+)"', (ROOT / "infra" / "variables.tf").read_text(), re.MULTILINE)


def _read(path: Path) -> Mapping[str, Any]:
    # `on` is true in YAML 1.1; as text it stays what it is.
    content: Mapping[str, Any] = yaml.load(path.read_text(), Loader=yaml.BaseLoader)
    return content


def _steps(path: Path) -> Iterator[Mapping[str, Any]]:
    for job in _read(path)["jobs"].values():
        yield from job["steps"]


def _id(path: Path) -> str:
    return path.stem


@pytest.mark.parametrize("path", WORKFLOWS, ids=_id)
def test_a_workflow_knows_no_secret_and_keeps_no_token(path: Path) -> None:
    assert not re.search(r"\bsecrets\b *[.\[]", path.read_text())
    kept = [step for step in _steps(path) if step.get("uses", "").startswith("actions/checkout@")]
    assert all(step["with"]["persist-credentials"] == "false" for step in kept)


@pytest.mark.parametrize("path", WORKFLOWS, ids=_id)
def test_a_workflow_may_read_the_repository_and_nothing_else(path: Path) -> None:
    """Only the one that publishes, which a person starts, may ask for a token for Azure too."""
    workflow = _read(path)
    assert workflow["permissions"] == {"contents": "read"}
    more = {name for job in workflow["jobs"].values() for name in job.get("permissions", {})}
    publishes = list(workflow["on"]) == ["workflow_dispatch"]
    assert more == ({"contents", "id-token"} if publishes else set())
    assert "pull_request_target" not in workflow["on"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=_id)
def test_what_a_workflow_makes_can_be_made(path: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    made = {name for step in _steps(path) for name in re.findall(r"^make (\w+)", step.get("run", ""))}
    assert made <= targets


@pytest.fixture
def clones(tmp_path: Path) -> Path:
    """A folder with two fresh clones of a repository that was made of the template: `before` and `after`."""
    origin = tmp_path / "origin"
    shutil.copytree(TEMPLATE, origin)
    _git(origin, "init", "--quiet", "--initial-branch", "main")
    _git(origin, "add", "--all")
    _git(origin, "commit", "--quiet", "--message", "From the template")
    for name in ("before", "after"):
        _git(tmp_path, "clone", "--quiet", str(origin), name)
    return tmp_path


def _git(folder: Path, *arguments: str) -> None:
    person = ("-c", "user.name=Ada", "-c", "user.email=ada@contoso.com")
    nobodys = {**os.environ, "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}
    subprocess.run(["git", *person, *arguments], cwd=folder, check=True, capture_output=True, env=nobodys)


def _validate(folder: Path) -> subprocess.CompletedProcess[str]:
    """The command of the template's workflow, with the command line of this checkout."""
    [command] = [
        step["run"]
        for step in _steps(TEMPLATE / ".github" / "workflows" / "validate.yml")
        if step.get("run", "").startswith("mergekey ")
    ]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        shlex.split(command), cwd=folder, env={"PATH": path}, capture_output=True, text=True, check=False
    )


def test_a_fresh_clone_of_the_template_is_valid(clones: Path) -> None:
    done = _validate(clones)
    assert (done.returncode, done.stderr) == (0, "")
    assert "::error" not in done.stdout


def test_the_workflow_of_the_template_says_what_is_wrong_with_a_request(clones: Path) -> None:
    request = clones / "after" / "tenant-access" / "config" / "delta" / "access.yaml"
    request.parent.mkdir()
    request.write_text(BAD_REQUEST)
    done = _validate(clones)
    assert done.returncode == 1
    assert re.search(r"::error file=tenant-access/config/delta/access.yaml,line=2", done.stdout)


def test_the_template_has_owners_for_all_of_its_files() -> None:
    lines = (TEMPLATE / "CODEOWNERS").read_text().splitlines()
    rules = [line.split() for line in lines if line and not line.startswith("#")]
    assert rules[0][0] == "*"
    assert all(len(rule) > 1 for rule in rules)


def test_azd_is_told_outputs_and_variables_that_terraform_has() -> None:
    services = _read(ROOT / "azure.yaml")["services"]
    assert services.keys() | {"all"} == set(get_args(Settings.model_fields["app_part"].annotation))
    for part, service in services.items():
        assert service["resourceName"] == f"${{{part}_app_name}}"
        named = re.findall(r"\$\{(\w+)\}", service["resourceGroup"] + service["resourceName"])
        assert set(named) <= set(_OUTPUTS)
    assert json.loads((ROOT / "infra" / "main.tfvars.json").read_text()).keys() <= set(_VARIABLES)
