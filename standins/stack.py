"""Everything on one machine: the stand-ins, a repository with a webhook, and the app in the local Functions
host.

`Stack(folder, app_dir)` is a context manager; tests, the demo and benchmarks use it. State stays in the
folder.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import yaml

from standins import ports
from standins.control import Control
from standins.identity import IDENTITY_HEADER
from standins.world import SUBSCRIPTION, TENANT

GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/ai"
APIM_ID = f"{GROUP}/providers/Microsoft.ApiManagement/service/contoso-ai"
VAULT_ID = f"{GROUP}/providers/Microsoft.KeyVault/vaults/contoso-keys"
CLUSTER_ID = f"{GROUP}/providers/Microsoft.ContainerService/managedClusters/contoso-gpu"
FOUNDRY_ID = f"{GROUP}/providers/Microsoft.CognitiveServices/accounts/contoso-foundry"
TRACES_ID = f"{GROUP}/providers/Microsoft.Insights/components/contoso-traces"
REPOSITORY = "contoso/model-access"
PLATFORM_VAULT_URL = "https://contoso-gateway.vault.azure.net"
#: Whom tokens for the operators' API are made out for.
AUDIENCE = "api://mergekey"
#: The app's settings with which its timers run. Otherwise none does: by the real clock a sweep would begin in
#: the middle of whatever is shown, measured or tested at a full quarter of an hour.
TIMERS = {"AzureWebJobs.start_sweeps.Disabled": "false"}
#: The app's settings with which the host takes four sessions of a stage at a time instead of the sixteen of
#: `host.json`: each costs a connection at the start, and a look four times a second.
FEW_SESSIONS = {"AzureFunctionsJobHost__extensions__serviceBus__maxConcurrentSessions": "4"}
#: Where Python finds the stand-ins.
_HOME = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Invocation:
    """One call of a function, as the host noted it."""

    function: str
    at: float
    seconds: float
    outcome: str
    session_id: str | None
    message_id: str | None
    trace: str | None


def _invocation(row: dict[str, Any]) -> Invocation:
    """A line of the host's file."""
    return Invocation(
        row["function"],
        row["at"],
        row["seconds"],
        row["outcome"],
        row.get("session_id"),
        row.get("message_id"),
        row.get("trace"),
    )


class Stack:
    """`overrides` replaces single settings of the app from the next start of the host on; `log_level` is the
    host's; `run_options` are options of `standins.run`. Timers are off: `run_function` takes their place, and
    with the settings `TIMERS` they run.

    The host and the stand-ins can be stopped and started again: `restart_host`, `restart_standins`.
    """

    def __init__(
        self,
        folder: Path,
        app_dir: Path,
        settings: dict[str, str] | None = None,
        log_level: str = "INFO",
        run_options: Sequence[str] = ("--latency", "none"),
    ) -> None:
        self.folder = folder
        self.overrides = dict(settings or {})
        self._app_dir = app_dir
        self._log_level = log_level
        self._run_options = run_options
        self._processes: list[subprocess.Popen[str]] = []
        self._hosts: list[subprocess.Popen[str]] = []
        self._logs: list[IO[str]] = []
        self.invocations_file = folder / "invocations.jsonl"
        self._invocations: list[Invocation] = []
        self._read_to = 0

    def __enter__(self) -> Stack:
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self._start_standins()
            self._port = _known_port(self.folder)
            self._set_up_github()
            self.start_host()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        for process in reversed(self._processes):
            _end(process)
        for log in self._logs:
            log.close()

    def start_host(self) -> None:
        """The app, in a process of its own, pointed at the stand-ins by its settings alone."""
        self.host, self.host_url = self._start_host(self._port)

    def add_host(self) -> subprocess.Popen[str]:
        """Another instance of the app beside the first, as when Azure scales out; GitHub's webhooks go to the
        first.
        """
        return self._start_host(0)[0]

    def _start_host(self, port: int) -> tuple[subprocess.Popen[str], str]:
        path = self.folder / "local.settings.json"
        path.write_text(json.dumps({"IsEncrypted": False, "Values": self.settings()}, indent=2))
        command = [
            "standins.functions_host",
            str(self._app_dir),
            "--port",
            str(port),
            "--settings",
            str(path),
        ]
        command += [
            "--keys",
            str(self.folder / "functions-keys.json"),
            "--invocations",
            str(self.invocations_file),
        ]
        command += ["--log-level", self._log_level]
        # Clients of both kinds must trust the stand-ins' authority before they are imported. The settings go
        # into the environment too, where they win over what this process may have set for another stack.
        trusted = {"SSL_CERT_FILE": self.ca, "REQUESTS_CA_BUNDLE": self.ca}
        process, ready = self._start("functions-host", command, {**trusted, **self.settings()})
        self._hosts.append(process)
        return process, ready["url"]

    def require_host(self) -> None:
        """Raises RuntimeError with the end of its log when no instance of the app is running."""
        if all(host.poll() is not None for host in self._hosts):
            log = (self.folder / "functions-host.log").read_text()
            raise RuntimeError(f"the host ended with {self.host.returncode}; its log says:\n{log[-4000:]}")

    def ensure_host(self) -> None:
        """Start the host where it is not running."""
        if self.host.poll() is not None:
            self.start_host()

    def restart_host(self) -> None:
        self.stop_host()
        self.start_host()

    def stop_host(self) -> None:
        _end(self.host)

    def restart_standins(self, *, kill: bool = False) -> None:
        """The same folder and the same ports: nothing is lost but the lists of calls and faults. The host
        goes on meanwhile.

        `kill`: without giving them time to end.
        """
        if kill:
            self._standins.kill()
        _end(self._standins)
        self._start_standins()

    def settings(self) -> dict[str, str]:
        """What would be the app settings in Azure."""
        bus = (
            f"Endpoint=sb://{self.addresses['service-bus']};SharedAccessKeyName=local;SharedAccessKey=local;"
            "UseDevelopmentEmulator=true;"
        )
        return {
            "FUNCTIONS_WORKER_RUNTIME": "python",
            "GITHUB_REPOSITORY": REPOSITORY,
            "GITHUB_REPOSITORY_ID": str(self.repository_id),
            "GITHUB_WEBHOOK_SECRET": self.webhook_secret,
            "GITHUB_API_URL": self.addresses["github"],
            "GITHUB_APP_ID": str(self.github_app["app_id"]),
            "GITHUB_APP_PRIVATE_KEY": self.github_app["private_key"],
            "GITHUB_INSTALLATION_ID": str(self.github_app["installation_id"]),
            "GITHUB_REPORT_INTERVAL": "0",
            "SERVICE_BUS": bus,
            "RESOURCE_MANAGER_URL": self.addresses["resource-manager"],
            "APIM_SERVICE_ID": APIM_ID,
            "APIM_TIER": "premium",
            "GATEWAY_URL": self.addresses["gateway"],
            "PLATFORM_VAULT_URL": PLATFORM_VAULT_URL,
            "KEY_VAULT_URL": self.addresses["key-vault"],
            "KEY_VAULT_ID": VAULT_ID,
            "KEY_VAULT_VERIFY_CHALLENGE": "false",
            "AKS_CLUSTER_ID": CLUSTER_ID,
            "WORKSPACE_GATEWAY": "gateway-system/internal",
            "WORKSPACE_INGRESS_URL": self.addresses["ingress"],
            "FOUNDRY_ACCOUNT_ID": FOUNDRY_ID,
            "FOUNDRY_TRACING_RESOURCE_ID": TRACES_ID,
            "ENTRA_TENANT_ID": TENANT,
            "API_AUDIENCE": AUDIENCE,
            "ENTRA_AUTHORITY_URL": self.addresses["identity"],
            "IDENTITY_ENDPOINT": f"{self.addresses['identity']}/msi/token",
            "IDENTITY_HEADER": IDENTITY_HEADER,
            "AZURE_TOKEN_CREDENTIALS": "ManagedIdentityCredential",
            "AzureWebJobs.start_sweeps.Disabled": "true",
            **self.overrides,
        }

    def invocations(self) -> list[Invocation]:
        """Every call of a function so far, in the order in which they ended. The file only grows, and is read
        on from where it was read to.
        """
        if self.invocations_file.exists():
            with self.invocations_file.open("rb") as file:
                file.seek(self._read_to)
                # The last line may be half written.
                lines = file.read().rpartition(b"\n")[0:2]
            self._read_to += len(b"".join(lines))
            self._invocations += [_invocation(json.loads(line)) for line in lines[0].splitlines()]
        return list(self._invocations)

    def run_function(self, name: str) -> None:
        """Run a timer's function now, through the host's admin route."""
        keys = json.loads((self.folder / "functions-keys.json").read_text())
        headers = {"x-functions-key": keys["master"], "Content-Type": "application/json"}
        ask("POST", f"{self.host_url}/admin/functions/{name}", {}, headers)

    def github(self, method: str, path: str, body: Any = None) -> Any:
        """A request to the GitHub stand-in: its set-up routes, or GitHub's own with a plain token."""
        return ask(
            method,
            f"{self.addresses['github']}{path}",
            body,
            {"Authorization": f"Bearer {self.github_token}"},
        )

    def api_server(self) -> tuple[str, str]:
        """Where Resource Manager says the cluster is: its address, and its certificate authority (PEM)."""
        query = "api-version=2019-08-01&client_id=operator&resource=https://management.azure.com"
        url = f"{self.addresses['identity']}/msi/token?{query}"
        token = ask("GET", url, headers={"X-IDENTITY-HEADER": IDENTITY_HEADER})["access_token"]
        url = f"{self.addresses['resource-manager']}{CLUSTER_ID}/listClusterUserCredential"
        trust = ssl.create_default_context(cafile=self.ca)
        signed = {"Authorization": f"Bearer {token}"}
        answer = ask("POST", f"{url}?api-version=2026-08-01&format=exec", None, signed, trust)
        cluster = yaml.safe_load(base64.b64decode(answer["kubeconfigs"][0]["value"]))["clusters"][0][
            "cluster"
        ]
        return cluster["server"], base64.b64decode(cluster["certificate-authority-data"]).decode()

    def _start_standins(self) -> None:
        entities = self._app_dir / "infra" / "service-bus.json"
        command = [
            "standins.run",
            "--folder",
            str(self.folder),
            "--entities",
            str(entities),
            "--control",
            *self._run_options,
        ]
        self._standins, ready = self._start("standins", command, {})
        self.addresses: dict[str, str] = ready["addresses"]
        self.ca: str = ready["ca"]
        self.control_url: str = ready["control"]
        self.control = Control(self.control_url)

    def _set_up_github(self) -> None:
        self.webhook_secret = _known_secret(self.folder)
        hook = {
            "webhook_url": f"http://127.0.0.1:{self._port}/api/github/webhook",
            "webhook_secret": self.webhook_secret,
        }
        base = f"{self.addresses['github']}/_standin"
        repository = ask("PUT", f"{base}/repositories/{REPOSITORY}", {})
        self.repository_id: int = repository["id"]
        self.git_url: str = repository["git_url"]
        self.github_app: dict[str, Any] = ask("PUT", f"{base}/app", hook)
        self.github_token: str = ask("PUT", f"{base}/tokens", {})["token"]

    def _start(
        self, name: str, command: list[str], environment: dict[str, str]
    ) -> tuple[subprocess.Popen[str], dict[str, Any]]:
        """Start a module of ours; its last line of standard output before it serves is JSON."""
        path = self.folder / f"{name}.log"
        log = path.open("a")
        self._logs.append(log)
        process = subprocess.Popen(
            [sys.executable, "-m", *command, "--with-parent"],
            cwd=_HOME,  # the stand-ins are these, whichever app they serve
            stdin=subprocess.PIPE,  # never written to: its end is how the process learns of ours
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={**os.environ, **environment},
            start_new_session=True,  # ctrl-C is for us; we end our processes ourselves
        )
        self._processes.append(process)
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("{"):
                return process, json.loads(line)
        raise RuntimeError(f"{name} did not start; {path} says:\n{path.read_text()[-4000:]}")


def ask(
    method: str,
    url: str,
    body: Any = None,
    headers: dict[str, str] | None = None,
    trust: ssl.SSLContext | None = None,
) -> Any:
    """One JSON request on loopback."""
    content = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        url, content, {"Content-Type": "application/json", **(headers or {})}, method=method
    )
    with urllib.request.urlopen(request, timeout=60, context=trust) as response:
        answer = response.read()
    return json.loads(answer) if answer else None


def wait_until(what: str, condition: Callable[[], Any], seconds: float = 300.0) -> Any:
    """The first true value of the condition; TimeoutError with `what` when there is none in time. Patient: a
    busy machine is slow.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.05)
    raise TimeoutError(f"not in {seconds:.0f} s: {what}")


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


def _known_port(folder: Path) -> int:
    """The same port at every start, so that the webhook of the repository keeps its address."""
    path = folder / "host-port"
    if not path.exists():
        with ports.listen() as probe:
            path.write_text(str(ports.number(probe)))
    return int(path.read_text())


def _known_secret(folder: Path) -> str:
    path = folder / "webhook-secret"
    if not path.exists():
        path.write_text(secrets.token_hex(20))
    return path.read_text()
