"""A real cluster beside a set of stand-ins: its API server takes their identity's tokens, their Resource
Manager names it, and the roles and the admission policy of `infra/kubernetes` hold in it.
"""

from __future__ import annotations

import re
import urllib.error
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from standins.control import Control
from standins.identity import IDENTITY_HEADER, principal
from standins.kubernetes.cluster import DEFAULTS
from standins.stack import ask, wait_until
from standins.world import TENANT, Options, World
from tests.cluster.build import KAITO, definitions, program
from tests.cluster.caller import Caller
from tests.cluster.control_plane import API_SERVER, AUDIENCE, CONTROLLERS, ETCD, ControlPlane, Issuer
from tests.cluster.kaito import WORKSPACES, Kaito

RIGHTS = Path(__file__).resolve().parents[2] / "infra" / "kubernetes"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
#: The kinds that a cluster may not serve: the definition, and where all objects are listed.
DEFINED = {
    "Workspace": ("workspaces.kaito.sh", WORKSPACES),
    "HTTPRoute": ("httproutes.gateway.networking.k8s.io", "/apis/gateway.networking.k8s.io/v1/httproutes"),
}
QUOTA = "count/workspaces.kaito.sh"
#: The client id of an identity that may do everything in the cluster.
ADMINISTRATOR = "cluster-administrator"
_ADMINISTRATORS = f"""
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {{name: administrators}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}}
subjects: [{{apiGroup: rbac.authorization.k8s.io, kind: User, name: {principal(ADMINISTRATOR)}}}]
"""
#: A namespace in which it is seen whether quotas are counted.
_PROBE = """
apiVersion: v1
kind: Namespace
metadata: {name: probe}
---
apiVersion: v1
kind: ResourceQuota
metadata: {name: probe, namespace: probe}
spec: {hard: {count/workspaces.kaito.sh: "1"}}
"""


@dataclass(frozen=True)
class StandInsAt:
    """What is needed of a set of stand-ins: `addresses` by server, `ca` is the file of their authority."""

    control: Control
    addresses: dict[str, str]
    ca: str

    def token(self, client: str | None = None) -> str:
        """For an API server: of the stand-ins' own identity, or of another one."""
        asked = {
            "api-version": "2019-08-01",
            "resource": AUDIENCE,
            **({"client_id": client} if client else {}),
        }
        url = f"{self.addresses['identity']}/msi/token?{urlencode(asked)}"
        return str(ask("GET", url, headers={"X-IDENTITY-HEADER": IDENTITY_HEADER})["access_token"])


@dataclass(frozen=True)
class RealCluster:
    """`options` say how fast KAITO is. `name` is the cluster's in Resource Manager."""

    plane: ControlPlane
    kaito: Kaito
    options: Options
    name: str
    standins: StandInsAt

    @property
    def administrator(self) -> Caller:
        return self.plane.administrator

    @property
    def workers(self) -> Caller:
        """The app's own identity."""
        return Caller(self.plane.address, self.standins.token(), self.plane.folder / "ca.pem")

    def announce(self) -> None:
        """Have Resource Manager name the server as it is now."""
        known = self.standins.control.options("resource-manager")["clusters"]
        here = {"server": self.plane.address, "authority": self.plane.authority}
        self.standins.control.set_options("resource-manager", clusters={**known, self.name: here})

    def serve(self, kind: str, served: bool = True) -> None:
        """Serve a kind of `DEFINED`, or no version of it any more; what there is of it stays in store."""
        name, path = DEFINED[kind]
        definition = self.administrator.ask("GET", f"{DEFINITIONS}/{name}")
        for version in definition["spec"]["versions"]:
            version["served"] = served
        self.administrator.ask("PUT", f"{DEFINITIONS}/{name}", definition)
        wait_until(
            f"{name} is served: {served}",
            lambda: {is_served(self.plane, path), self._is_discovered(path)} == {served},
        )

    def is_described(self, kind: str) -> bool:
        """Whether the OpenAPI document of the version has the kind; it follows a second later."""
        _, path = DEFINED[kind]
        document = self.administrator.find(f"/openapi/v3{path.rpartition('/')[0]}") or {"paths": {}}
        return path in document["paths"]

    def _is_discovered(self, path: str) -> bool:
        version, _, plural = path.rpartition("/")
        resources = (self.administrator.find(version) or {"resources": []})["resources"]
        return any(each["name"] == plural for each in resources)

    def advance(self, seconds: float) -> None:
        """Move the stand-ins' clock, by which KAITO works, and let all controllers do what is due."""
        self.kaito.look()  # what happened until now happened before the move
        self.standins.control.advance(seconds)
        self.settle()

    def settle(self) -> None:
        """Let KAITO do what is due, and wait until the other controllers have followed, in real time."""
        wait_until("the controllers have nothing to do", self._has_settled)

    def wait_for_quotas(self) -> None:
        """Until each has counted the Workspaces of its namespace: before, it lets more of them in. After a
        kill that can take five minutes.
        """
        wait_until("quotas have counted", self._have_quotas_counted)

    def _have_quotas_counted(self) -> bool:
        homes = Counter(item["metadata"]["namespace"] for item in self.administrator.items(WORKSPACES))
        quotas = self.administrator.items("/api/v1/resourcequotas")
        return all(
            (quota.get("status") or {}).get("used", {}).get(QUOTA)
            == str(homes[quota["metadata"]["namespace"]])
            for quota in quotas
            if QUOTA in quota["spec"]["hard"]
        )

    def _has_settled(self) -> bool:
        self.kaito.look()
        going = {
            item["metadata"]["name"]
            for item in self.administrator.items("/api/v1/namespaces")
            if "deletionTimestamp" in item["metadata"]
        }
        inside = [
            item["metadata"]
            for item in self.administrator.items(WORKSPACES)
            if item["metadata"]["namespace"] in going
        ]
        begun = all("deletionTimestamp" in metadata for metadata in inside)
        return begun and going <= {metadata["namespace"] for metadata in inside}


#: Starts one beside stand-ins, whose Resource Manager knows it by this name.
StartCluster = Callable[[StandInsAt, str], AbstractContextManager[RealCluster]]


@contextmanager
def real_cluster(standins: StandInsAt, folder: Path, name: str) -> Iterator[RealCluster]:
    """Started, until the end of the context. The stand-ins' own identity is the workers'. Raises
    `build.Absent`.
    """
    found, kinds = program(), definitions()
    options = World(folder).options_of("kubernetes", DEFAULTS)
    with ExitStack() as ends:
        plane = ControlPlane(found, folder, _issuer(standins))
        ends.callback(plane.stop)
        plane.start(ETCD)
        plane.start(API_SERVER)
        define(plane, kinds)
        plane.start(CONTROLLERS)
        give_rights(plane, principal())
        wait_until("quotas are counted", lambda: _counts_quotas(plane))
        kaito = ends.enter_context(Kaito(plane, standins.control.now, options))
        cluster = RealCluster(plane, kaito, options, name, standins)
        wait_until("roles and admission policy hold", lambda: _are_rights_in_force(cluster))
        cluster.announce()
        yield cluster


def define(plane: ControlPlane, kinds: list[Path]) -> None:
    """Install the definitions, before the controllers start, which look for new kinds twice a minute only."""
    plane.kubectl("apply", "--server-side", *(f"--filename={kind}" for kind in kinds))
    lists = [path for _, path in DEFINED.values()]
    wait_until("the kinds are served", lambda: all(is_served(plane, path) for path in lists))


def give_rights(plane: ControlPlane, workers: str) -> None:
    """Apply the files of `infra/kubernetes`, in which the workers' identity has this object id; the cluster's
    administrator is another one.
    """
    text = "---\n".join(file.read_text() for file in sorted(RIGHTS.glob("*.yaml"))) + _ADMINISTRATORS
    plane.kubectl("apply", "--server-side", "--filename=-", text=text.replace("APP_OBJECT_ID", workers))


def _are_rights_in_force(cluster: RealCluster) -> bool:
    """Whether the workers may make a namespace of their own, and no other one."""
    made = {
        name: cluster.workers.attempt("POST", "/api/v1/namespaces?dryRun=All", _namespace(name))
        for name in ("team-probe", "probe-2")
    }
    return made["team-probe"] == 200 and made["probe-2"] in (403, 422)


def _namespace(name: str) -> object:
    metadata = {"name": name, "labels": {"app.kubernetes.io/managed-by": "mergekey"}}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


def with_this_release(catalog: str) -> str:
    """A catalogue that names the release of KAITO whose definitions are installed here."""
    named, count = re.subn(r'^kaito: "[^"]+"', f'kaito: "{KAITO}"', catalog, flags=re.MULTILINE)
    assert count == 1, "the catalogue names no release of KAITO"
    return named


def _issuer(standins: StandInsAt) -> Issuer:
    """Entra's documents of version 1, which name the issuer as the app's tokens do."""
    discovery = f"{standins.addresses['resource-manager']}/{TENANT}/.well-known/openid-configuration"
    return Issuer(f"https://sts.windows.net/{TENANT}/", discovery, Path(standins.ca).read_text())


def is_served(plane: ControlPlane, path: str) -> bool:
    """Whether the kind's objects can be listed."""
    try:
        plane.administrator.items(path)
    except urllib.error.HTTPError:
        return False  # 404 until it is known, then 429 until it is ready
    return True


def _counts_quotas(plane: ControlPlane) -> bool:
    if plane.administrator.find("/api/v1/namespaces/probe/resourcequotas/probe") is None:
        plane.kubectl("apply", "--server-side", "--filename=-", text=_PROBE)
    quota = plane.administrator.find("/api/v1/namespaces/probe/resourcequotas/probe")
    return bool((quota.get("status") or {}).get("used"))
