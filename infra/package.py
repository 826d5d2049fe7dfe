"""Make the folder that is published to Azure: `python infra/package.py build/package`, or `make package`.

In it are the app's own code, compiled, `host.json`, and `requirements.txt`, which is the lock file: Azure
installs exactly what is named there, and nothing whose hash is another.
"""

from __future__ import annotations

import compileall
import shutil
import sys
from pathlib import Path
from py_compile import PycInvalidationMode

ROOT = Path(__file__).resolve().parent.parent
#: What runs in Azure, and nothing else of this repository.
PUBLISHED = ("function_app.py", "host.json", "functions", "shared")
LOCK = "requirements.lock"
#: What tools may put beside it. Where they find no such list, some leave compiled files out.
NOT_PUBLISHED = ".venv/\n*_env/\nlocal.settings*.json\n"


def build(folder: Path) -> None:
    """Write the package into a folder, which is emptied first."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in PUBLISHED:
        source, target = ROOT / name, folder / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    shutil.copy(ROOT / LOCK, folder / "requirements.txt")
    (folder / ".funcignore").write_text(NOT_PUBLISHED)
    _compile(folder)


def _compile(folder: Path) -> None:
    """So that no instance does it at its start. Published files have other times than these, so a compiled
    file counts whatever the time of its source. Raises SystemExit where a file cannot be compiled.
    """
    unchecked = PycInvalidationMode.UNCHECKED_HASH
    if not compileall.compile_dir(folder, quiet=1, invalidation_mode=unchecked):
        raise SystemExit(f"{folder} could not be compiled")


if __name__ == "__main__":
    build(Path(sys.argv[1]))
