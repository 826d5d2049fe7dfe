"""Golden cases: a folder holds what somebody wrote, and in `expected.txt` every problem that must be told
about it.

`access.yaml` stands for `tenant-access/config/alpha/access.yaml`; `model_catalog.yaml` for the catalogue
(default: the one beside the cases); a folder `repository` for further files.
"""

from __future__ import annotations

from pathlib import Path

from shared.branch.review import File, Review, review
from shared.requests.paths import DEFAULT_CATALOG_PATH, RequestPaths

CASES = Path(__file__).parent / "cases"
PATHS = RequestPaths()
REQUEST = "tenant-access/config/alpha/access.yaml"


def case_names() -> list[str]:
    """All cases."""
    return sorted(folder.name for folder in CASES.iterdir() if folder.is_dir())


def catalog_file() -> File:
    """The catalogue that the cases share."""
    return File((CASES / "model_catalog.yaml").read_bytes())


def review_of(files: dict[str, File]) -> Review:
    """The verdict on some files beside the shared catalogue."""
    return review({DEFAULT_CATALOG_PATH: catalog_file(), **files}, PATHS, DEFAULT_CATALOG_PATH)


def review_of_case(name: str) -> Review:
    """The verdict on a case."""
    folder = CASES / name
    places = {folder / "access.yaml": REQUEST, folder / "model_catalog.yaml": DEFAULT_CATALOG_PATH}
    places |= {
        file: file.relative_to(folder / "repository").as_posix()
        for file in (folder / "repository").rglob("*")
        if file.is_file()
    }
    return review_of({place: File(file.read_bytes()) for file, place in places.items() if file.exists()})


def rendered(found: Review) -> str:
    """The problems, one in a line, as `expected.txt` has them."""
    return "".join(
        f"{each.path}:{each.line}:{each.column} {each.reason}: {each.message}\n" for each in found.problems
    )
