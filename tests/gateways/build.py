"""The Gateway controllers that `MERGEKEY_GATEWAYS=istio,envoy` names, as programs, and the definitions of the
kinds that they watch. Both come from Go modules and go into the user's cache folder, as the API server does
(`tests.cluster.build`). Without the variable, or without Go, the tests are skipped with that reason.
"""

from __future__ import annotations

import hashlib
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from shared.gateway_api.controllers import Controller
from tests.cluster.build import Absent, content_of, file_of, folder, go, keep, run

#: Names the controllers that are built and asked.
VARIABLE = "MERGEKEY_GATEWAYS"
#: As the variable names them.
NAMES: dict[str, Controller] = {"istio": "istio", "envoy": "envoy-gateway"}
_OLDEST_GO = (1, 26)
#: All definitions of Gateway API's standard channel, as of the release that both controllers want.
_GATEWAY_API = "sigs.k8s.io/gateway-api@v1.6.1", "h1:mock6phZbI6rvZerwrVNk7hVNymQgHo+6sJ81Ia7ftY="
_KINDS = (
    "gatewayclasses",
    "gateways",
    "httproutes",
    "referencegrants",
    "backendtlspolicies",
    "grpcroutes",
    "listenersets",
    "tcproutes",
    "tlsroutes",
    "udproutes",
)


@dataclass(frozen=True)
class Source:
    """The module of a controller (`path@version`), the checksum of its content as in a go.sum, and the
    package of its program. The module's own go.sum has the checksums of all others. `definitions` are the
    files with the kinds of its own, `others` further files that it needs at work.
    """

    module: str
    checksum: str
    package: str
    definitions: tuple[str, ...] = ()
    others: tuple[str, ...] = ()

    def file(self, path: str) -> Path:
        """A file of the module. Raises Absent."""
        return file_of(self.module, self.checksum, path)


_OWN = "charts/gateway-helm/charts/crds/crds/generated/gateway.envoyproxy.io_"
_ISTIOD = "manifests/charts/istio-control/istio-discovery"
SOURCES: dict[Controller, Source] = {
    "envoy-gateway": Source(
        "github.com/envoyproxy/gateway@v1.9.0",
        "h1:PaOpud15v3kDCl3L5yc1TdYzggCMpRm1yRjNKmLkzHA=",
        "./cmd/envoy-gateway",
        tuple(
            f"{_OWN}{kind}.yaml"
            for kind in (
                "backends",
                "backendtrafficpolicies",
                "clienttrafficpolicies",
                "envoyextensionpolicies",
                "envoypatchpolicies",
                "envoyproxies",
                "httproutefilters",
                "securitypolicies",
            )
        ),
    ),
    # Its releases are no Go modules: this is the state of 27 August 2026, between 1.31 and 1.32.
    "istio": Source(
        "istio.io/istio@v0.0.0-20260827124520-eed52ebb66ad",
        "h1:ui9TJjRMAV/hb5ehQaZDq7IUGxuQP6dra9lapT/VjHI=",
        "./pilot/cmd/pilot-discovery",
        others=(f"{_ISTIOD}/files/kube-gateway.yaml", f"{_ISTIOD}/values.yaml"),
    ),
}


def asked() -> tuple[Controller, ...]:
    """The controllers that the environment names. Raises Absent for none, ValueError for one that is not
    known.
    """
    named = [each.strip() for each in os.environ.get(VARIABLE, "").split(",") if each.strip()]
    if not named:
        raise Absent(f"no real Gateway controller was asked for: {VARIABLE}=istio,envoy names them")
    if unknown := [each for each in named if each not in NAMES]:
        raise ValueError(f"{VARIABLE} names {', '.join(unknown)}; known are {', '.join(NAMES)}")
    return tuple(dict.fromkeys(NAMES[each] for each in named))


def program(controller: Controller) -> Path:
    """The program in the cache folder. Raises Absent where it was not asked for, or not built."""
    if controller not in asked():
        raise Absent(f"{VARIABLE} does not name {_name(controller)}")
    if not built(controller).exists():
        raise Absent(f"there is no {controller} in {folder()}: `make contract` builds it")
    return built(controller)


def built(controller: Controller) -> Path:
    """Where the program is put."""
    source = SOURCES[controller]
    digest = hashlib.sha256(f"{source.module} {source.checksum} {source.package}".encode())
    return folder() / f"{controller}-{digest.hexdigest()[:16]}"


def definitions(controller: Controller) -> list[Path]:
    """Files with the definitions of the kinds that the controller watches. Raises Absent."""
    own = [SOURCES[controller].file(path) for path in SOURCES[controller].definitions]
    paths = (f"config/crd/standard/gateway.networking.k8s.io_{kind}.yaml" for kind in _KINDS)
    return [*(file_of(*_GATEWAY_API, path) for path in paths), *own]


def build(controller: Controller) -> Path:
    """Build the program unless it is there. Raises Absent, or RuntimeError with what the compiler said."""
    if built(controller).exists():
        return built(controller)
    source = SOURCES[controller]
    content = content_of(source.module, source.checksum)
    command = [go(_OLDEST_GO), "build", "-mod=readonly", "-trimpath", "-ldflags=-s -w"]

    def compile_to(new: Path) -> None:
        answer = run([*command, "-o", str(new), source.package], cwd=content)
        if answer.returncode:
            raise RuntimeError(f"{controller} cannot be built:\n{answer.stderr}")

    return keep(built(controller), compile_to)


def _name(controller: Controller) -> str:
    return next(name for name, each in NAMES.items() if each == controller)


def main() -> int:
    """Build what is asked for and missing, and say where it is, how large it is, and how long it took."""
    try:
        wanted = asked()
        for controller in wanted:
            started = time.monotonic()
            print(f"Building {controller}; the first time takes ten minutes and more.", flush=True)
            found = build(controller)
            definitions(controller)
            for path in SOURCES[controller].others:
                SOURCES[controller].file(path)
            size = found.stat().st_size / 1024 / 1024
            print(f"{found}: {size:.0f} MiB, after {time.monotonic() - started:.0f} s", flush=True)
    except Absent as reason:
        print(f"the tests with real Gateway controllers are skipped: {reason}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
