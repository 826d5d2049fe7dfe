"""`make contract`: how far the stand-ins can be trusted, as a table.

Runs the wire, contract, end-to-end and client tests with every exchange checked against the official
descriptions (which must be there), those of the cluster on a real API server too, the demo on it, our routes
before real Gateway controllers (`MERGEKEY_GATEWAYS=istio,envoy`), the expressions of our policies under a C#
compiler (where there is one), a real vLLM (`MERGEKEY_VLLM=1`) against what was recorded of one, a real
Gateway and a real vLLM behind our policies (`MERGEKEY_ROAD_URL`), the contract tests once more against
services named by settings, the benchmark of Service Bus, and how long the gateway's scan of a large body
takes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from rich.console import Console
from rich.table import Table

from standins.tests.coverage_page import differences

ROOT = Path(__file__).resolve().parent.parent
SUITES = (
    "standins/tests",
    "tests/gateway/test_policy_schemas.py",
    "tests/gateway/test_csharp.py",
    "tests/gateway/test_clients_of_others.py",
    "tests/gateway/test_real_road.py",
    "tests/wire",
    "tests/contract",
    "tests/cluster",
    "tests/gateways",
    "tests/end_to_end",
)
#: The sides of a port in tests/contract, as their parameters name them.
SIDES = ("fake", "adapter", "real server")
#: A file of standins/tests/clients -> the client, and the server that it drives most.
CLIENTS = {
    "test_azure_cli": ("azure-cli", "resource-manager"),
    "test_amqp_client": ("qpid-proton", "service-bus"),
    "test_service_bus_client": ("@azure/service-bus", "service-bus"),
    "test_git": ("git", "github"),
    "test_kubectl": ("kubectl", "kubernetes"),
    "test_clients_of_others": ("LangChain, LiteLLM, pydantic-ai, openai, curl", "gateway"),
}


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        report, junit = Path(folder) / "report.json", Path(folder) / "junit.xml"
        environment = {
            **os.environ,
            "MERGEKEY_REQUIRE_REFERENCE": "1",
            "MERGEKEY_CONTRACT_REPORT": str(report),
        }
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            f"--junitxml={junit}",
            *SUITES,
        ]
        status = _run(command, environment) or _run([sys.executable, "-m", "tests.contract.elsewhere"])
        status = status or _run([sys.executable, "-m", "tests.cluster.demo"])
        status = status or _run([sys.executable, "-m", "bench.service_bus"])
        status = status or _run([sys.executable, "-m", "tests.gateway.csharp_programs"])
        if report.exists() and junit.exists():
            _print(json.loads(report.read_text()), _clients(junit))
            _print_sides(junit)
        return status


def _run(command: list[str], environment: dict[str, str] | None = None) -> int:
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


def _clients(junit: Path) -> dict[str, Counter[str]]:
    """Server -> client -> tests passed."""
    passed: dict[str, Counter[str]] = {}
    for case in ElementTree.parse(junit).getroot().iter("testcase"):
        module = case.get("classname", "").rpartition(".")[2]
        if module in CLIENTS and len(case) == 0:
            client, server = CLIENTS[module]
            passed.setdefault(server, Counter())[client] += 1
    return passed


def _print(validated: dict[str, Any], clients: dict[str, Counter[str]]) -> None:
    known = differences()
    table = Table(
        "server",
        "operations",
        "requests checked",
        "answers checked",
        "clients by others",
        "known differences",
    )
    for server in sorted({*validated, *clients, *known}):
        seen = validated.get(server, {"operations": [], "requests": 0, "answers": 0})
        counts = (str(len(seen["operations"])), f"{seen['requests']:,}", f"{seen['answers']:,}")
        others = ", ".join(
            f"{client} ({count})" for client, count in sorted(clients.get(server, Counter()).items())
        )
        table.add_row(server, *counts, others, str(len(known.get(server, []))))
    Console(width=140).print(table)


def _print_sides(junit: Path) -> None:
    """How many tests passed on each side of a port, and how many were skipped."""
    counts: dict[str, Counter[str]] = {}
    for case in ElementTree.parse(junit).getroot().iter("testcase"):
        module = case.get("classname", "").removeprefix("tests.")
        if module.startswith(("contract.", "cluster.")):
            parameters = case.get("name", "").partition("[")[2]
            side = next((each for each in SIDES if parameters.startswith(each)), "")
            counts.setdefault(module, Counter())[f"{side} {_outcome(case)}".strip()] += 1
    table = Table("contract tests", "sides")
    for module, found in sorted(counts.items()):
        table.add_row(module, ", ".join(f"{side}: {count}" for side, count in sorted(found.items())))
    Console(width=140).print(table)


def _outcome(case: ElementTree.Element) -> str:
    if case.find("skipped") is not None:
        return "skipped"
    return "passed" if len(case) == 0 else "failed"


if __name__ == "__main__":
    sys.exit(main())
