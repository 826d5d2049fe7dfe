"""`make demo CLUSTER=real`: the demo's story with a real API server in place of the stand-in for it."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from standins.demo.story import Story
from standins.stack import CLUSTER_ID, Stack
from tests.cluster.build import Absent
from tests.cluster.real import StandInsAt, real_cluster, with_this_release
from tests.conftest import ROOT

EXAMPLE = Path("examples") / "access-repo"


def main() -> int:
    """0 if everything that the story says was seen to be true, or where there is no API server, which is
    said.
    """
    console = Console(highlight=False, soft_wrap=True, width=120)
    with tempfile.TemporaryDirectory(prefix="mergekey-demo-") as place:
        folder = Path(place)
        console.print("Starting the stand-ins, the function app and a real Kubernetes API server ...")
        try:
            with (
                Stack(folder, ROOT, run_options=("--latency", "azure")) as stack,
                real_cluster(
                    StandInsAt(stack.control, stack.addresses, stack.ca),
                    folder / "cluster",
                    CLUSTER_ID.rpartition("/")[2],
                ),
            ):
                return Story(console, stack, _with_this_release(folder / "app")).tell()
        except Absent as reason:
            console.print(f"skipped: {reason}")
            return 0


def _with_this_release(folder: Path) -> Path:
    """A folder with the example repository, whose catalogue names the release of KAITO that is defined
    here.
    """
    shutil.copytree(ROOT / EXAMPLE, folder / EXAMPLE)
    catalog = folder / EXAMPLE / "platform" / "config" / "model_catalog.yaml"
    catalog.write_text(with_this_release(catalog.read_text()))
    return folder


if __name__ == "__main__":
    sys.exit(main())
