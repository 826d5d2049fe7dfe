"""What is to be said of the branch's files, for a push, a sweep and a stage alike.

Files alone decide nearly everything. Where they do not (more is asked for of a model than there is, or a model is named that is not in
the catalogue any more), what is in force decides: a product's marker names the commit that its team's access was made from, and Git
still has the text.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from shared.absence import ours
from shared.app import App
from shared.domain.actual import Product
from shared.domain.catalog import Catalog
from shared.domain.desired import compile_gateway
from shared.domain.ledger import Grants
from shared.domain.marker import Marker
from shared.domain.platform_faults import faults_of
from shared.domain.push import Tree
from shared.domain.review import File, Past, Review, is_read, places_now, read, review
from shared.domain.strict_yaml import LARGEST
from shared.messages import blob_id

#: Git modes of regular files; links and submodules are no requests.
REGULAR = frozenset({"100644", "100755"})
#: Stands for the content of a file that is too large to be downloaded: the review refuses it by its length.
TOO_LARGE = bytes(LARGEST + 1)
#: Earlier texts that are fetched at the same time.
AT_ONCE = 8


async def read_files(app: App, paths: Iterable[str], tree: Tree, known: Mapping[str, bytes] | None = None) -> dict[str, File]:
    """The files at these paths. `known` contents, of an archive, count only when they hash to the tree's blob: attributes in the
    repository can change what an archive holds.
    """
    wanted, contents = sorted(paths), dict(known or {})
    needed = [path for path in wanted if is_read(path, app.places.requests, app.places.catalog) and tree[path].mode in REGULAR]
    small = [path for path in needed if tree[path].size <= LARGEST]
    missing = [path for path in small if blob_id(contents.get(path, b""), len(tree[path].blob)) != tree[path].blob]
    contents |= dict(zip(missing, await asyncio.gather(*(app.repository.blob(tree[path].blob) for path in missing)), strict=True))
    contents |= {path: TOO_LARGE for path in needed if tree[path].size > LARGEST}
    return {path: File(contents.get(path, b"") if path in needed else b"", tree[path].mode) for path in wanted}


async def judge(app: App, files: Mapping[str, File], past: Past, products: Sequence[Product] | None = None) -> Review:
    """The review of these files. `products` are asked for only where they decide, unless the caller has them."""
    faults = faults_of(app.platform)
    reviewed = review(files, app.places.requests, app.places.catalog, past, faults)
    if not reviewed.in_doubt or reviewed.catalog is None:
        return reviewed
    found = await app.gateway.products() if products is None else products
    in_force = await _in_force(app, _Doubt(reviewed.catalog, files, reviewed.in_doubt), found)
    return review(files, app.places.requests, app.places.catalog, replace(past, in_force=in_force), faults)


async def judge_all(app: App, commit: str, tree: Tree, past: Past) -> Review:
    """The review of all requests of a commit, and of its catalogue."""
    paths = [path for path in tree if is_read(path, app.places.requests, app.places.catalog)]
    return await judge(app, await read_files(app, paths, tree, await app.repository.archive(commit)), past)


@dataclass(frozen=True, slots=True)
class _Doubt:
    catalog: Catalog
    files: Mapping[str, File]
    paths: frozenset[str]


async def _in_force(app: App, doubt: _Doubt, products: Iterable[Product]) -> dict[str, Grants]:
    """What the teams of these requests have now. A product that was never finished, or is withdrawn, is nobody's access."""
    marked = [product.marker for product in ours(app, products) if product.is_finished]
    markers = [marker for marker in marked if marker and marker.withdrawn is None]
    present = places_now({marker.path: marker.team for marker in markers}, doubt.files, app.places.requests)
    asked = [(marker, present[marker.path]) for marker in markers if present.get(marker.path) in doubt.paths]
    gate = asyncio.Semaphore(AT_ONCE)

    async def look(marker: Marker, path: str) -> Grants | None:
        async with gate:
            return await _granted(app, doubt.catalog, marker, (path, doubt.files[path].content))

    found = zip(asked, await asyncio.gather(*(look(*each) for each in asked)), strict=True)
    return {path: grants for (_, path), grants in found if grants is not None}


async def _granted(app: App, catalog: Catalog, marker: Marker, stands: tuple[str, bytes]) -> Grants | None:
    """What a product gives its team. Where it is what the branch says now, wherever it stands, no earlier text is needed; None when Git has
    lost it.
    """
    now = read(*stands, catalog, app.places.requests)
    if now.request is not None and compile_gateway(now.request, catalog, app.platform).digest == marker.digest:
        return now.tokens
    entry = (await app.repository.tree(marker.commit) or {}).get(marker.path)
    if entry is None or entry.mode not in REGULAR or entry.size > LARGEST:
        return None
    return read(marker.path, await app.repository.blob(entry.blob), catalog, app.places.requests).tokens
