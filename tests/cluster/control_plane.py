"""etcd, kube-apiserver and kube-controller-manager as processes on loopback, each stopped and started by
itself.

Callers with the administrator's token may do everything. Callers with an Entra token come in as on AKS:
audience, the user's name is the claim `oid`, the groups are the claim `groups`.
https://learn.microsoft.com/azure/aks/kubernetes-rbac-entra-id
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from standins import ports
from standins.stack import wait_until
from tests.cluster.caller import Caller

#: The application that every AKS API server with Entra sign-in is registered as.
AUDIENCE = "6dae42f8-4368-4678-94ff-3960e28e3630"
ETCD, API_SERVER, CONTROLLERS = "etcd", "kube-apiserver", "kube-controller-manager"
#: A part ends when its standard input ends, if this is in its environment (`program/main.go`).
_END_WITH_INPUT = {"MERGEKEY_END_WITH_INPUT": "1"}
#: The controllers that namespaces, quotas, owners and tokens need; those of pods and nodes have nothing to
# do.
_CONTROLLERS = (
    "namespace-controller,garbage-collector-controller,resourcequota-controller,serviceaccount-controller,"
    "serviceaccount-token-controller,root-ca-certificate-publisher-controller,clusterrole-aggregation-controller,"
    "validatingadmissionpolicy-status-controller"
)


@dataclass(frozen=True)
class Issuer:
    """Who signs the tokens that the server accepts: what `iss` says, where the keys are told (OpenID
    discovery), and the certificate authority of that place.
    """

    url: str
    discovery: str
    authority: str


class ControlPlane:
    """The processes by name in `processes`. `folder` holds data, keys, ports and logs: a second start finds
    all of it.
    """

    def __init__(self, program: Path, folder: Path, issuer: Issuer) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.program, self.folder = program, folder
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._ports = {name: _free_port() for name in ("etcd", "peer", "api")}
        self.address = f"https://127.0.0.1:{self._ports['api']}"
        self._token = secrets.token_hex(24)
        (folder / "tokens.csv").write_text(f'{self._token},admin,admin,"system:masters"\n')
        key = rsa.generate_private_key(65537, 2048)
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        (folder / "service-accounts.pem").write_bytes(pem)
        (folder / "authentication.json").write_text(json.dumps(_authentication(issuer)))
        self.change_certificate()

    def change_certificate(self) -> None:
        """Another certificate by another authority, from the next start of the API server on."""
        authority = trustme.CA()
        issued = authority.issue_cert("localhost", "127.0.0.1")
        issued.private_key_pem.write_to_path(str(self.folder / "server.key"))
        issued.cert_chain_pems[0].write_to_path(str(self.folder / "server.pem"))
        authority.cert_pem.write_to_path(str(self.folder / "ca.pem"))
        self.authority = (self.folder / "ca.pem").read_text()
        self.administrator = Caller(self.address, self._token, self.folder / "ca.pem")

    def start(self, name: str) -> None:
        """Start a part; the API server is waited for until it is ready."""
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [str(self.program), name, *self._arguments(name)],
                stdin=subprocess.PIPE,  # never written to: its end is how the part learns of ours
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env={**os.environ, **_END_WITH_INPUT},
                start_new_session=True,
            )
        if name == API_SERVER:
            wait_until(f"{self.address} is ready", self._is_ready)

    def kill(self, name: str) -> None:
        """End a part at once: a graceful end waits for connections that stay open."""
        process = self.processes.pop(name, None)
        if process is not None:
            process.kill()
            process.wait()
            assert process.stdin is not None
            process.stdin.close()

    def stop(self) -> None:
        for name in (CONTROLLERS, API_SERVER, ETCD):
            self.kill(name)

    def kubectl(self, *words: str, text: str = "") -> str:
        """What the administrator's kubectl says; `text` is its standard input. Raises RuntimeError."""
        kubeconfig = self.kubeconfig()
        answer = subprocess.run(
            [str(self.program), "kubectl", "--kubeconfig", str(kubeconfig), *words],
            env={**os.environ, "HOME": str(self.folder)},
            input=text,
            check=False,
            capture_output=True,
            text=True,
        )
        if answer.returncode:
            raise RuntimeError(f"kubectl {' '.join(words)}: {answer.stderr.strip()}")
        return answer.stdout

    def _is_ready(self) -> bool:
        """Raises RuntimeError with the end of the server's log when it has ended."""
        code = self.processes[API_SERVER].poll()
        if code is not None:
            log = (self.folder / f"{API_SERVER}.log").read_text()
            raise RuntimeError(f"{API_SERVER} ended with {code}; its log says:\n{log[-4000:]}")
        return self.administrator.is_ready()

    def _arguments(self, name: str) -> list[str]:
        arguments = {ETCD: self._etcd, API_SERVER: self._api_server, CONTROLLERS: self._controllers}[name]()
        return [f"--{option}={value}" for option, value in arguments.items()]

    def _etcd(self) -> Mapping[str, str]:
        client, peer = (f"http://127.0.0.1:{self._ports[name]}" for name in ("etcd", "peer"))
        return {
            "data-dir": str(self.folder / "etcd"),
            "listen-client-urls": client,
            "advertise-client-urls": client,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": f"default={peer}",
            "unsafe-no-fsync": "true",  # a kill of the process loses nothing all the same
            "log-level": "warn",
        }

    def _api_server(self) -> Mapping[str, str]:
        key = str(self.folder / "service-accounts.pem")
        return {
            "etcd-servers": f"http://127.0.0.1:{self._ports['etcd']}",
            "bind-address": "127.0.0.1",
            "advertise-address": "127.0.0.1",
            "endpoint-reconciler-type": "none",
            "secure-port": str(self._ports["api"]),
            "tls-cert-file": str(self.folder / "server.pem"),
            "tls-private-key-file": str(self.folder / "server.key"),
            "authorization-mode": "RBAC",
            "authentication-config": str(self.folder / "authentication.json"),
            "token-auth-file": str(self.folder / "tokens.csv"),
            "service-account-issuer": "https://kubernetes.default.svc",
            "service-account-key-file": key,
            "service-account-signing-key-file": key,
            "service-cluster-ip-range": "10.0.0.0/24",
        }

    def _controllers(self) -> Mapping[str, str]:
        return {
            "kubeconfig": str(self.kubeconfig()),
            "leader-elect": "false",
            "secure-port": "0",
            "controllers": _CONTROLLERS,
            "service-account-private-key-file": str(self.folder / "service-accounts.pem"),
            "root-ca-file": str(self.folder / "ca.pem"),
        }

    def kubeconfig(self) -> Path:
        """The administrator's; it names no other file."""
        path = self.folder / "kubeconfig"
        authority = base64.b64encode(self.authority.encode()).decode()
        cluster = {"server": self.address, "certificate-authority-data": authority}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "here", "cluster": cluster}],
            "users": [{"name": "admin", "user": {"token": self._token}}],
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "admin"}}],
            "current-context": "here",
        }
        path.write_text(json.dumps(content))
        return path


def _authentication(issuer: Issuer) -> object:
    """https://kubernetes.io/docs/reference/access-authn-authz/authentication/#using-authentication-configuration"""
    groups = {"expression": "has(claims.groups) ? claims.groups : []"}
    authenticator = {
        "issuer": {
            "url": issuer.url,
            "discoveryURL": issuer.discovery,
            "certificateAuthority": issuer.authority,
            "audiences": [AUDIENCE],
        },
        "claimMappings": {"username": {"claim": "oid", "prefix": ""}, "groups": groups},
    }
    return {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "AuthenticationConfiguration",
        "jwt": [authenticator],
    }


def _free_port() -> int:
    with ports.listen() as probe:
        return ports.number(probe)
