"""Taking access away: keys die at once, objects go when the grace period has ended.

Each stage judges by the marks on its own objects: `withdrawn <UTC>` is written once and never overwritten,
and a request that comes back within grace takes it off.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from shared import names
from shared.app import App
from shared.branch.decision import Decision, ensure_branch_unchanged
from shared.errors import Busy, NewerVersion, NotManaged, Rejected
from shared.marker import Marker, format_time, read_time, require_known
from shared.messaging.messages import TeamMessage
from shared.messaging.outcomes import Done, Event, Outcome, Waiting
from shared.resources.actual import Product, SecretVersion, Subscription
from shared.resources.project import GOING, ActualProject
from shared.resources.secret_tags import marked
from shared.resources.workspaces import namespace_manifest
from shared.stages.apply import ADMINISTRATOR, closed, gather_all, remove_administrator
from shared.stages.deliver_keys import display_name, observe_secrets
from shared.stages.outgoing import ask_for_keys
from shared.stages.provision_workspaces import remove_namespace

#: How long is waited between two looks at something that is being deleted.
DELETING = timedelta(seconds=30)


async def from_gateway(app: App, event: Event[TeamMessage], standing: Decision) -> Outcome:
    """Suspend first, whatever else fails; let nobody in without a key; mark the product; after grace delete
    what is ours.
    """
    team = event.message.team
    subscription, product = await asyncio.gather(
        app.gateway.subscription(names.subscription(team)), app.gateway.product(names.product(team))
    )
    await ensure_branch_unchanged(app, event, standing)
    if subscription is not None and _is_ours(app, team, subscription) and subscription.state == "active":
        await app.gateway.suspend_subscription(subscription.name, subscription.etag)
    product = await closed(app.gateway, product, Marker(app.platform.repository, team, "", ""))
    marker = None if product is None else product.marker
    if product is None and standing.in_doubt:
        return Done(wrote=False)
    if product is None or (marker is not None and _is_over(app, event, marker) and not standing.in_doubt):
        return await _end(app, event, standing, product, subscription)
    await ask_for_keys(app, event, standing.commit)
    marker = _require_ours(app, team, marker, f"product {product.name}")
    # A subscription that somebody renamed, or made in our place, is left alone; what its keys open is ours to
    # shut.
    stranger = (
        subscription is not None and subscription.state == "active" and not _is_ours(app, team, subscription)
    )
    shut = stranger and await app.gateway.is_linked(product.name, names.API)
    # A digest vouches for the link, too: without it whoever comes back is linked again.
    over = replace(
        marker, withdrawn=marker.withdrawn or event.now, held=None, digest="" if shut else marker.digest
    )
    if over != marker:
        await _mark_withdrawn(app, product, marker, over)
    if shut:
        await app.gateway.unlink_product(product.name, names.API)
    if marker.withdrawn is not None:
        return Done(wrote=shut)
    return Done(f"withdrawn, keys suspended; deleted after {format_time(event.now + app.limits.grace)}")


async def _mark_withdrawn(app: App, product: Product, before: Marker, marker: Marker) -> None:
    if before.withdrawn is None and not before.digest:
        # Whoever began it died, or was told to stop, before the administrator's keys were removed.
        await remove_administrator(app.gateway, product.name)
    await app.gateway.publish_product(product.name, product.etag, product.display_name, marker)


#: What is said beside the commit.
HELD = "withdrawal held: too many teams are gone at once; see the check"


async def leave_held(app: App, event: Event[TeamMessage], standing: Decision) -> Outcome:  # noqa: ARG001
    """Nothing is done about a team that the guard holds."""
    return Done(HELD, wrote=False)


async def hold(app: App, event: Event[TeamMessage], standing: Decision) -> Outcome:
    """The product says since when: so the team stays held, whoever else goes, comes or is cleaned away.
    Nothing is withdrawn.
    """
    team = event.message.team
    product = await app.gateway.product(names.product(team))
    marker = None if product is None else product.marker
    may = Marker(app.platform.repository, team, "", "").may_change(marker)
    if (
        product is None
        or marker is None
        or not may
        or marker.held
        or marker.withdrawn
        or not product.is_finished
    ):
        return Done(HELD, wrote=False)
    await ensure_branch_unchanged(app, event, standing)
    await app.gateway.publish_product(
        product.name, product.etag, product.display_name, replace(marker, held=event.now)
    )
    return Done(HELD)


async def _end(
    app: App,
    event: Event[TeamMessage],
    standing: Decision,
    product: Product | None,
    subscription: Subscription | None,
) -> Outcome:
    """Delete what is ours. Keys are asked for last: by the product that is gone the vault's stage knows that
    grace has ended.
    """
    team = event.message.team
    if product is None:
        await _delete_backends(app, team)
        if subscription is not None and _is_ours(app, team, subscription) and subscription.state != "active":
            # It outlived its product. While it was active its ETag is out of date by now: then the next sweep
            # has it deleted.
            await app.gateway.delete_subscription(subscription.name, subscription.etag)
    else:
        try:
            _require_ours(app, team, product.marker, f"product {product.name}")
            await _delete_product(app, team, product, subscription)
        except (NotManaged, NewerVersion):
            # The product has to stay, the keys have not.
            await ask_for_keys(app, event, standing.commit)
            raise
    await ask_for_keys(app, event, standing.commit)
    return Done(None if product is None else "deleted")


async def from_vault(app: App, event: Event[TeamMessage], standing: Decision) -> Outcome:
    """Disable every version of the team's secrets; after grace, or when the product is gone, delete them and
    the roles on them.
    """
    team = event.message.team
    held, product = await asyncio.gather(
        observe_secrets(app, team, None), app.gateway.product(names.product(team))
    )
    if (
        held.subscription is not None
        and _is_ours(app, team, held.subscription)
        and held.subscription.state == "active"
    ):
        # A delivery of keys that was under way during the withdrawal made or woke it after the gateway's
        # stage had looked.
        await ensure_branch_unchanged(app, event, standing)
        await app.gateway.suspend_subscription(held.subscription.name, held.subscription.etag)
    since = _withdrawn_since(held.newest(secret) for secret in held.secrets)
    if (
        product is None or (since is not None and event.now >= since + app.limits.grace)
    ) and not standing.in_doubt:
        readers = (await observe_secrets(app, team, None, closely=True)).readers
        await gather_all(*(app.roles.revoke(secret, group) for group in readers for secret in held.secrets))
        await gather_all(*(app.vault.delete(secret) for secret, versions in held.secrets.items() if versions))
        return Done("keys deleted" if any(held.secrets.values()) else None)
    live = [
        version
        for versions in held.secrets.values()
        for version in versions
        if version.enabled or not version.tags.get("withdrawn")
    ]
    mark = {"withdrawn": format_time(since or event.now)}
    await gather_all(*(app.vault.update(version, False, marked(version.tags, mark)) for version in live))
    if (
        held.subscription is not None
        and not _is_ours(app, team, held.subscription)
        and held.subscription.state == "active"
    ):
        raise NotManaged(
            f"there is a subscription {held.subscription.name} that is not managed by mergekey for {team}: "
            "suspend or remove it"
        )
    return Done("keys disabled" if live else None)


async def from_cluster(app: App, event: Event[TeamMessage], standing: Decision) -> Outcome:
    """A GPU costs money, a mistake costs half an hour: workspaces have a shorter grace of their own."""
    assert app.cluster is not None
    team = event.message.team
    namespace = await app.cluster.namespace(names.namespace(team))
    if namespace is None:
        return Done()
    marker = _require_ours(app, team, namespace.marker, f"namespace {namespace.name}")
    if namespace.terminating:
        return Waiting(DELETING, "NamespaceTerminating")
    since = marker.withdrawn
    if since is None:
        await app.cluster.apply(namespace_manifest(replace(marker, withdrawn=event.now)))
    left = (since or event.now) + app.limits.workspace_grace - event.now
    if left > timedelta(0):
        return Waiting(left, "WithdrawalDelay", patient=True)
    if standing.in_doubt:
        return Done(wrote=False)
    return await remove_namespace(app, event, standing, await app.cluster.workspaces(namespace.name))


async def from_playground(app: App, event: Event[TeamMessage], standing: Decision) -> Outcome:
    """Nobody may use the project from now on; what was made in it goes when the grace period has ended."""
    name, team = names.project(event.message.team), event.message.team
    if app.projects is None or app.project_roles is None:
        return Done(wrote=False)
    project, readers = await asyncio.gather(app.projects.project(name), app.project_roles.readers_of(name))
    known = None if project is None else project.marker
    if project is not None and not Marker(app.platform.repository, team, "", "").owns(known):
        return Done(wrote=False)
    strangers = ActualProject(project, readers, let_in=standing.let_in).strangers(None)
    await gather_all(*(app.project_roles.revoke(name, group) for group in strangers))
    if project is None or known is None:
        return Done("playground access withdrawn" if strangers else None, wrote=bool(strangers))
    require_known(known, f"the Foundry project {name}")
    if project.state == GOING:
        return Waiting(DELETING, "ProjectDeleting")
    if known.withdrawn is None:
        await app.projects.update_project(name, project.display_name, replace(known, withdrawn=event.now))
        return Done(
            "playground access withdrawn; its project is deleted after "
            f"{format_time(event.now + app.limits.grace)}"
        )
    if not _is_over(app, event, known) or standing.in_doubt:
        return Done(wrote=bool(strangers))
    # Nothing fences a deletion here, and what people made in the project does not come back.
    await ensure_branch_unchanged(app, event, standing)
    await app.projects.delete_project(name)
    return Waiting(DELETING, "ProjectDeleting")


async def _delete_product(app: App, team: str, product: Product, subscription: Subscription | None) -> None:
    """Lists tell no ETags: the team's own subscription has the one that was read by itself, so that nobody's
    new keys are deleted.
    """
    etags = {} if subscription is None else {subscription.name: subscription.etag}
    subscriptions = await app.gateway.product_subscriptions(product.name)
    known = [found for found in subscriptions if _is_ours(app, team, found) or found.owner == ADMINISTRATOR]
    if foreign := [found.name for found in subscriptions if found not in known]:
        raise NotManaged(
            f"product {product.name} has subscriptions that are not managed by mergekey: {', '.join(foreign)}"
        )
    await gather_all(
        *(app.gateway.delete_subscription(found.name, etags.get(found.name, found.etag)) for found in known)
    )
    try:
        await app.gateway.delete_product(product.name, product.etag)
    except Rejected:
        if await app.gateway.product_subscriptions(product.name):
            # The team came back, and got its keys.
            raise Busy(f"a subscription of {product.name} was made meanwhile") from None
        raise
    await _delete_backends(app, team)


async def _delete_backends(app: App, team: str) -> None:
    marker = Marker(app.platform.repository, team, "", "")
    backends = [
        found
        for found in await app.gateway.backends(f"{names.product(team)}--")
        if marker.may_change(found.marker)
    ]
    try:
        await gather_all(*(app.gateway.delete_backend(backend.name, backend.etag) for backend in backends))
    except Rejected:
        if await app.gateway.product(names.product(team)) is not None:
            raise Busy(f"{team} came back meanwhile, and its policy names its backends") from None
        raise


def _is_over(app: App, event: Event[TeamMessage], marker: Marker) -> bool:
    return marker.withdrawn is not None and event.now >= marker.withdrawn + app.limits.grace


def _is_ours(app: App, team: str, subscription: Subscription) -> bool:
    return subscription.display_name == display_name(app, team)


def _require_ours(app: App, team: str, marker: Marker | None, what: str) -> Marker:
    if marker is None or not Marker(app.platform.repository, team, "", "").owns(marker):
        raise NotManaged(f"there is a {what} that is not managed by mergekey for {team}")
    require_known(marker, f"the {what}")
    return marker


def _withdrawn_since(newest: Iterable[SecretVersion | None]) -> datetime | None:
    marks = [read_time(version.tags.get("withdrawn")) for version in newest if version is not None]
    return min((mark for mark in marks if mark is not None), default=None)
