"""`make cluster`: the program with the control plane, and the definitions of KAITO and Gateway API.

Both come from Go modules and go into the user's cache folder, under names that change with what they are made
of. Without Go nothing is built, and the reason is said; the tests that need it are skipped with that reason.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

SOURCES = Path(__file__).resolve().parent / "program"
#: Names the program to use instead of the one in the cache folder.
VARIABLE = "MERGEKEY_CLUSTER"
#: Whose definitions are installed: module and version -> the checksum of its content, as in a go.sum.
MODULES = {
    "github.com/kaito-project/kaito@v0.11.0": "h1:Y8wS9ng4HXr6V1+Wj/dFBEAsLoaiP8mgAedcyUoLZu0=",
    "sigs.k8s.io/gateway-api@v1.4.0": "h1:ZwlNM6zOHq0h3WUX2gfByPs2yAEsy/EenYJB78jpQfQ=",
}
#: The release of KAITO, as a catalogue names it.
KAITO = "0.11"
_KAITO, _GATEWAY_API = MODULES
#: The files with the definitions, in the modules' content.
DEFINITIONS = (
    (_KAITO, "config/crd/bases/kaito.sh_workspaces.yaml"),
    (_KAITO, "config/crd/bases/kaito.sh_inferencesets.yaml"),
    (_GATEWAY_API, "config/crd/standard/gateway.networking.k8s.io_httproutes.yaml"),
)
_OLDEST_GO = (1, 25)
#: Where Go's installer puts it, often without a word in PATH.
INSTALLED = "/usr/local/go/bin/go"
_COMPONENT = "k8s.io/component-base/version"


class Absent(Exception):
    """There is no program or no definitions; the text says why, and what to do."""


def folder() -> Path:
    """The cache folder of Mergekey for this user."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mergekey"


def program() -> Path:
    """The program: the one that the environment names, or the one in the cache folder. Raises Absent."""
    if named := os.environ.get(VARIABLE):
        if not Path(named).is_file():
            raise Absent(f"{VARIABLE} names {named}, which is no file")
        return Path(named).resolve()
    if not built().exists():
        raise Absent(f"there is no Kubernetes API server in {folder()}: `make cluster` builds one")
    return built()


def built() -> Path:
    """Where `make cluster` puts the program."""
    digest = hashlib.sha256()
    for file in sorted(SOURCES.iterdir()):
        digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return folder() / f"cluster-{digest.hexdigest()[:16]}"


def definitions() -> list[Path]:
    """A file with the CustomResourceDefinition of each kind that is not Kubernetes' own. What the cache
    folder lacks is fetched with Go. Raises Absent.
    """
    return [file_of(module, MODULES[module], path) for module, path in DEFINITIONS]


def file_of(module: str, checksum: str, path: str) -> Path:
    """A file of a module, from the cache folder, or else fetched with Go. Raises Absent."""
    digest = hashlib.sha256(f"{module} {checksum} {path}".encode()).hexdigest()
    kept = folder() / f"definition-{digest[:16]}.yaml"
    if not kept.exists():
        content = content_of(module, checksum)
        keep(kept, lambda new: shutil.copyfile(content / path, new))
    return kept


def content_of(module: str, checksum: str) -> Path:
    """The folder of Go's cache with the content of a module, `path@version`, which has this checksum, as in a
    go.sum. Raises Absent.
    """
    answer = run([go(), "mod", "download", "-json", module], cwd=folder())
    found = json.loads(answer.stdout or "{}")
    if answer.returncode or found.get("Sum") != checksum:
        why = found.get("Error") or answer.stderr or f"its checksum is {found.get('Sum')}"
        raise Absent(f"the content of {module} cannot be had: {why}")
    return Path(found["Dir"])


def go(oldest: tuple[int, int] = _OLDEST_GO) -> str:
    """The Go command. Raises Absent where there is none, or an older one."""
    found = shutil.which("go") or shutil.which(INSTALLED)
    needed = ".".join(map(str, oldest))
    if found is None:
        raise Absent(f"Go is not here (https://go.dev/doc/install; {needed} or newer)")
    version = run([found, "env", "GOVERSION"], cwd=folder()).stdout.strip()
    number = re.match(r"go(\d+)\.(\d+)", version)
    if number is None or tuple(map(int, number.groups())) < oldest:
        raise Absent(f"Go {needed} or newer is needed; {found} is {version}")
    return found


def build() -> Path:
    """Build the program unless it is there. Raises Absent, or RuntimeError with what the compiler said."""
    if built().exists():
        return built()
    command = [go(), "build", "-mod=readonly", "-trimpath", "-ldflags", _flags(), "-o"]

    def compile_to(new: Path) -> None:
        answer = run([*command, str(new), "."], cwd=SOURCES)
        if answer.returncode:
            raise RuntimeError(f"the program cannot be built:\n{answer.stderr}")

    return keep(built(), compile_to)


def _flags() -> str:
    """What the linker is told: without symbols, and with the version that the server says it has."""
    number = re.search(r"^\tk8s\.io/kubernetes v(.+)$", (SOURCES / "go.mod").read_text(), re.MULTILINE)
    assert number is not None, "go.mod names no version of Kubernetes"
    major, minor, *_ = number[1].split(".")
    said = {"gitVersion": f"v{number[1]}", "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    return " ".join(["-s", "-w", *(f"-X {_COMPONENT}.{name}={value}" for name, value in said.items())])


def keep(path: Path, make: Callable[[Path], object]) -> Path:
    """Make a file under another name first: a reader finds the whole file, or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        make(new)
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
    return path


def run(command: list[str], *, cwd: Path) -> subprocess.CompletedProcess[str]:
    """A command of Go; `cwd` is made where it is missing."""
    cwd.mkdir(parents=True, exist_ok=True)
    settings = {"CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false", "GOWORK": "off", "GOTOOLCHAIN": "local"}
    return subprocess.run(
        command, cwd=cwd, env={**os.environ, **settings}, check=False, capture_output=True, text=True
    )


def main() -> int:
    """Build what is missing, and say where it is, how large it is, and how long it took."""
    started = time.monotonic()
    try:
        print("Building a Kubernetes API server; the first time takes ten minutes and more.", flush=True)
        found = program() if os.environ.get(VARIABLE) else build()
        definitions()
    except Absent as reason:
        print(f"no Kubernetes API server, so the tests that need one are skipped: {reason}")
        return 0
    size = found.stat().st_size / 1024 / 1024
    print(f"{found}: {size:.0f} MiB, after {time.monotonic() - started:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
