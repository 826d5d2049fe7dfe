"""The requests in force of teams whose file on the branch cannot be followed: the file that stands on the
branch where the product's marker has its digest, otherwise the one that Git has at the marker's commit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

from shared.app import App
from shared.branch.platform_checks import read_supported_catalog
from shared.branch.review import File, read
from shared.branch.states import StandingRequest
from shared.catalog.catalog import Catalog
from shared.marker import NOWHERE, Marker
from shared.requests.request import ParsedRequest
from shared.resources.desired import compile_gateway

#: Teams whose requests are read at the same time: two calls to GitHub each.
CONCURRENCY = 8


async def granted_at(app: App, marker: Marker) -> tuple[ParsedRequest, Catalog] | None:
    """The request at the marker's commit, read with the catalogue of the same commit; None when Git has lost
    them, or the marker names no commit or path.
    """
    if marker.commit in ("", NOWHERE) or not marker.path:
        return None
    text, catalog = await asyncio.gather(
        app.repository.file(marker.commit, marker.path), catalog_at(app, marker.commit)
    )
    if text is None or catalog is None:
        return None
    return read(marker.path, text, catalog, app.paths.requests), catalog


async def catalog_at(app: App, commit: str) -> Catalog | None:
    """The catalogue of a commit; None when Git has lost it, or it is not valid."""
    content = await app.repository.file(commit, app.paths.catalog)
    return None if content is None else read_supported_catalog(app.paths.catalog, content, None).catalog


async def requests_in_force(
    app: App, markers: Iterable[Marker], files: Mapping[str, File], catalog: Catalog | None
) -> dict[str, StandingRequest]:
    """By team, as far as it is known. `catalog` is the one in force. Only for teams whose file is not the one
    that was granted anything is read.
    """
    gate = asyncio.Semaphore(CONCURRENCY)

    async def look(marker: Marker) -> StandingRequest | None:
        standing = _by_file(app, marker, files, catalog)
        if standing is not None:
            return standing
        async with gate:
            found = await granted_at(app, marker)
        request = None if found is None else found[0].request
        if found is None or request is None or request.team != marker.team:
            return None
        return StandingRequest(request, found[1])

    chosen = list(markers)
    known = await asyncio.gather(*map(look, chosen))
    return {marker.team: each for marker, each in zip(chosen, known, strict=True) if each is not None}


def _by_file(
    app: App, marker: Marker, files: Mapping[str, File], catalog: Catalog | None
) -> StandingRequest | None:
    """The file on the branch, if its digest is the marker's."""
    file = files.get(marker.path)
    if file is None or catalog is None or not marker.digest:
        return None
    request = read(marker.path, file.content, catalog, app.paths.requests).request
    if request is None or compile_gateway(request, catalog, app.platform).digest != marker.digest:
        return None
    return StandingRequest(request, catalog)
