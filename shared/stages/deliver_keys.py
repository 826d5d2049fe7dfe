"""A team's keys: its subscription, its secrets in the vault, and who may read them; given and taken away.

A vault knows no If-Match, so no service fences these writes: the pipeline reads the branch again afterwards.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import chain
from typing import TypeVar

from shared import names
from shared.app import App
from shared.branch.decision import Decision, ensure_branch_unchanged
from shared.errors import Busy, NotManaged, Rejected
from shared.marker import format_time, read_time
from shared.messaging.messages import TeamMessage
from shared.messaging.outcomes import Done, Event, Outcome, Waiting, worth_saying
from shared.ports import Keys
from shared.requests.request import AccessRequest
from shared.resources.actual import SecretVersion, Subscription
from shared.resources.key_slots import EXPOSED, PRIMARY, SECONDARY, Renewal, is_marked, renewal
from shared.resources.secret_tags import equivalent, marked, with_others
from shared.secret import SecretValue
from shared.stages.apply import Secret, gather_all, write_secret
from shared.stages.existing_keys import ExistingKeys, observe, observe_secrets
from shared.stages.ownership import is_foreign_and_active, is_own_and_active, subscription_display_name
from shared.stages.renew_key import KEY, make_new, publish

ENDPOINT = "URL"
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class _Keys:
    """The gateway's keys, None where they are not needed, and which slots have to be renewed.

    `is_woken`: the subscription was created or woken just now, and exposed keys were renewed before that.
    """

    keys: Keys | None
    renewal: Renewal
    is_woken: bool


async def deliver(app: App, event: Event[TeamMessage], decision: Decision) -> Outcome:
    """Make subscription, secrets and readers agree with the request; write only what differs."""
    request = decision.request
    assert request is not None
    found = await _observe_readers(app, event, request)
    existing = await _mark_exposed(app, event, decision, found)
    former = (existing.readers | decision.granted_groups) - {request.entra_group}
    await gather_all(*(app.roles.revoke(secret, group) for group in former for secret in existing.secrets))
    keys = await _keys(app, event, decision, existing, has_former_readers=bool(former))
    tags = _tags(app, request, decision.commit)
    await _renew(app, event, decision, existing, keys=keys, tags=tags)
    wrote = await _write_secrets(app, request.team, existing, keys, tags)
    granted = await _grant(app, request, existing)
    changed = wrote or granted or bool(former or keys.is_woken or keys.renewal.now)
    begins = _begins_overlap(found, request.team, keys.renewal)
    return _outcome(event, request, keys.renewal, changed, begins_overlap=begins)


async def _observe_readers(app: App, event: Event[TeamMessage], request: AccessRequest) -> ExistingKeys:
    """The keys as they are; with all role assignments on the secrets where the readers have changed or a key
    is exposed.

    A late delivery may have granted a role to a group that no tag names any more; and the former group of an
    exposed key may still have its role, and could read the new key.
    """
    team, reader = request.team, request.entra_group
    existing = await observe(app, team, reader, list_readers=event.verify_markers)
    exposed = renewal(existing.slots(team), reader or "", event.now, app.timeouts.key_overlap)
    if event.verify_markers or (exposed.nothing and not existing.readers - {reader}):
        return existing
    return await observe(app, team, reader, list_readers=True)


async def _mark_exposed(
    app: App, event: Event[TeamMessage], decision: Decision, existing: ExistingKeys
) -> ExistingKeys:
    """Mark the keys that a group without a tag could read, before its role is revoked: the role is the only
    trace of it. Returns the keys with these marks.

    A group that has its role on one key may have been given it on the other one too, after the assignments
    there were read: its role is revoked on both, so both are marked.
    """
    request, team = decision.request, event.message.team
    assert request is not None
    secrets = names.key_secrets(team)
    groups = decision.granted_groups.union(*(existing.granted_groups.get(each, ()) for each in secrets))
    exposed = [
        which
        for which, secret in enumerate(secrets)
        if (newest := existing.newest(secret)) is not None
        and EXPOSED not in newest.tags
        and groups - {request.entra_group, newest.tags.get("reader")}
    ]
    if not exposed:
        return existing
    keys = None if existing.subscription is None else await app.gateway.keys(names.subscription(team))
    marked_secrets = [secrets[which] for which in exposed]
    versions = await _results(
        [_mark(app, team, which, existing.secrets[secrets[which]], event.now, keys) for which in exposed]
    )
    written = dict(zip(marked_secrets, versions, strict=True))
    return replace(existing, secrets={**existing.secrets, **written})


async def _renew(
    app: App,
    event: Event[TeamMessage],
    decision: Decision,
    existing: ExistingKeys,
    *,
    keys: _Keys,
    tags: Mapping[str, str],
) -> None:
    """Renew the keys that are due, one after the other; those of a woken subscription are new already."""
    team = event.message.team
    for which in keys.renewal.now:
        if keys.is_woken and keys.keys is not None:
            value = keys.keys[which]
        else:
            value = await make_new(app, event, decision, which)
        newest = existing.newest(names.key_secrets(team)[which])
        await publish(app, team, which, value, _with_foreign_tags(tags, newest))


async def _grant(app: App, request: AccessRequest, existing: ExistingKeys) -> bool:
    """Grant the request's group its role on each secret where it has none; return whether one had none."""
    group = request.entra_group
    if not group:
        return False
    missing = sorted(frozenset(existing.secrets) - existing.granted)
    await gather_all(*(app.roles.grant(secret, group) for secret in missing))
    return bool(missing)


def _begins_overlap(found: ExistingKeys, team: str, renewal: Renewal) -> bool:
    """Whether the overlap of an exposed key begins now: its secret, as it was found, does not say so yet."""
    newest = {which: found.newest(names.key_secrets(team)[which]) for which in renewal.waiting}
    return any(
        version is not None and not is_marked(version.tags, renewal.waiting[which])
        for which, version in newest.items()
    )


def _outcome(
    event: Event[TeamMessage],
    request: AccessRequest,
    renewal: Renewal,
    changed: bool,
    *,
    begins_overlap: bool,
) -> Outcome:
    """While a key works on for its overlap, the stage of a push comes back when that ends; its status says
    when. So does the stage that began the overlap, or a retry of it: the push may have been left to a sweep,
    after which no other sweep needs to come. Later sweeps leave no message behind.
    """
    note = _note(request)
    if renewal.until is None:
        return Done(worth_saying(event, changed, note), wrote=changed)
    until = f"primary key renewed after {format_time(renewal.until)}"
    if event.message.cause == "push" or event.is_retry or begins_overlap:
        return Waiting(renewal.until - event.now, "HandOverDelay", patient=True, note=until)
    return Done(worth_saying(event, changed, f"{note}; {until}"), wrote=changed)


def _note(request: AccessRequest) -> str:
    if request.entra_group is None:
        return "keys in vault; no group may read them yet: add entraGroup"
    return (
        f"keys in vault: {names.primary_key_secret(request.team)}, {names.secondary_key_secret(request.team)}"
    )


async def _keys(
    app: App,
    event: Event[TeamMessage],
    decision: Decision,
    existing: ExistingKeys,
    *,
    has_former_readers: bool,
) -> _Keys:
    """The gateway's keys, where they are needed: for secrets that are not complete, to compare them with the
    vault (`event.verify_markers`), and where a key is exposed.
    """
    team, overlap = event.message.team, app.timeouts.key_overlap
    reader = (decision.request.entra_group if decision.request else None) or ""
    if not _works(existing.subscription, team):
        # The keys of a suspended subscription have no users: both are renewed at once, for any reason.
        is_exposed = bool(renewal(existing.slots(team), reader, event.now, timedelta(0)).now)
        both = Renewal((SECONDARY, PRIMARY)) if is_exposed or has_former_readers else Renewal()
        return _Keys(await _wake(app, event, decision, existing.subscription, both), both, is_woken=True)
    is_complete = all(_is_complete(existing.newest(secret)) for secret in names.key_secrets(team))
    is_exposed = not renewal(existing.slots(team), reader, event.now, overlap).nothing
    if is_complete and not is_exposed and not event.verify_markers:
        return _Keys(None, Renewal(), is_woken=False)
    keys = await app.gateway.keys(names.subscription(team))
    return _Keys(keys, renewal(existing.slots(team, keys), reader, event.now, overlap), is_woken=False)


def _works(subscription: Subscription | None, team: str) -> bool:
    """Whether it is active, and on the team's product."""
    return (
        subscription is not None
        and subscription.state == "active"
        and subscription.product == names.product(team)
    )


async def _wake(
    app: App,
    event: Event[TeamMessage],
    decision: Decision,
    subscription: Subscription | None,
    renewal: Renewal,
) -> Keys:
    """Create or activate the subscription, and return its keys. Exposed keys are renewed before they work
    again; no ETag fences that, so the branch is asked once more.
    """
    team = event.message.team
    name = names.subscription(team)
    if subscription is not None and renewal.now:
        await ensure_branch_unchanged(app, event, decision)
        await gather_all(*(app.gateway.regenerate_key(name, which) for which in renewal.now))
        subscription = await app.gateway.subscription(name)
    if subscription is not None:
        await ensure_branch_unchanged(app, event, decision)
    answer = await _put_subscription(app, team, subscription.etag if subscription else None)
    return answer or await app.gateway.keys(name)


async def _put_subscription(app: App, team: str, etag: str | None) -> Keys | None:
    """Raises Busy when the team has no product: it was deleted, or the message was sent for an older state of
    the branch.
    """
    given = names.subscription(team), names.product(team), subscription_display_name(app, team), etag
    try:
        return await app.gateway.put_subscription(*given)
    except Rejected:
        if await app.gateway.product(names.product(team)) is None:
            raise Busy(f"{team} has no product yet", reason="ProductNotThere") from None
        return await app.gateway.put_subscription(*given)


async def _write_secrets(
    app: App, team: str, existing: ExistingKeys, keys: _Keys, tags: Mapping[str, str]
) -> bool:
    """Write the endpoint and the keys, but not the renewed ones: those are in the vault already. Returns
    whether anything was written.
    """
    endpoint = Secret(names.endpoint_secret(team), ENDPOINT, SecretValue(app.platform.gateway_url))
    writes = [write_secret(app, endpoint, existing.newest(endpoint.name), tags)]
    for which, name in enumerate(names.key_secrets(team)):
        newest, since = existing.newest(name), keys.renewal.waiting.get(which)
        if newest is not None and since is not None:
            writes.append(_keep_exposed(app, team, which, existing.secrets[name], since, keys.keys))
        elif keys.keys is not None and which not in keys.renewal.now:
            writes.append(write_secret(app, Secret(name, KEY, keys.keys[which]), newest, tags))
        elif keys.keys is None:
            writes.append(_update_tags(app, newest, tags))
    return any(await _results(writes))


async def _keep_exposed(
    app: App, team: str, which: int, versions: Sequence[SecretVersion], since: datetime, keys: Keys | None
) -> bool:
    """An exposed key works on for its overlap. Its tag `reader` stays as it is until the key is renewed."""
    newest = versions[0]
    if not is_marked(newest.tags, since):
        await _mark(app, team, which, versions, since, keys)
        return True
    if not newest.enabled:
        await app.vault.update(newest, True, newest.tags)
    return not newest.enabled


async def _mark(
    app: App, team: str, which: int, versions: Sequence[SecretVersion], since: datetime, keys: Keys | None
) -> Sequence[SecretVersion]:
    """Mark a key as exposed, in a new version of its secret with the same value; return all versions.

    A handler that lost its lock, and writes late, writes the tags of a version that it has read: of this one
    it knows nothing. A key that the gateway does not take is marked in place: it is renewed at once.
    """
    newest, *older = versions
    tags = marked(newest.tags, {EXPOSED: format_time(since)})
    if keys is not None and keys[which].fingerprint(newest.name) == newest.tags.get("fingerprint"):
        return await publish(app, team, which, keys[which], tags)
    await app.vault.update(newest, newest.enabled, tags)
    return replace(newest, tags=tags), *older


async def _update_tags(app: App, newest: SecretVersion | None, tags: Mapping[str, str]) -> bool:
    """The value is right; the tags may name another reader or commit."""
    if newest is None:
        return False
    wanted = with_others({**tags, "fingerprint": newest.tags.get("fingerprint", "")}, newest.tags)
    if equivalent(newest.tags, wanted):
        return False
    await app.vault.update(newest, True, wanted)
    return True


async def _results(writes: Sequence[Coroutine[None, None, R]]) -> list[R]:
    tasks = [asyncio.ensure_future(write) for write in writes]
    await gather_all(*tasks)
    return [task.result() for task in tasks]


def _tags(app: App, request: AccessRequest, commit: str) -> dict[str, str]:
    """At most 256 characters each; the fingerprint is added with the value."""
    return {
        "managed-by": "mergekey",
        "repository": str(app.platform.repository),
        "team": request.team,
        "commit": commit,
        "reader": request.entra_group or "",
    }


def _with_foreign_tags(tags: Mapping[str, str], newest: SecretVersion | None) -> dict[str, str]:
    """Our tags, with those that others wrote on the existing version."""
    return with_others({**tags, "fingerprint": ""}, None if newest is None else newest.tags)


def _is_complete(version: SecretVersion | None) -> bool:
    return version is not None and version.enabled and bool(version.tags.get("fingerprint"))


async def withdraw_keys(app: App, event: Event[TeamMessage], decision: Decision) -> Outcome:
    """Suspend the subscription and disable every version of the team's secrets; delete the secrets, and the
    roles on them, when the grace period is over or the product is gone.
    """
    team = event.message.team
    existing, product = await asyncio.gather(
        observe_secrets(app, team, None), app.gateway.product(names.product(team))
    )
    if is_own_and_active(existing.subscription, app, team):
        # A delivery of keys during the withdrawal created or woke it after the gateway's stage had read it.
        await ensure_branch_unchanged(app, event, decision)
        await app.gateway.suspend_subscription(existing.subscription.name, existing.subscription.etag)
    since = _withdrawn_since(existing)
    is_over = product is None or (since is not None and event.now >= since + app.timeouts.grace)
    if is_over and not decision.in_doubt:
        return await _delete_keys(app, team, existing)
    disabled = await _disable(app, existing, since or event.now)
    if is_foreign_and_active(existing.subscription, app, team):
        raise NotManaged(
            f"there is a subscription {existing.subscription.name} that is not managed by mergekey for "
            f"{team}: suspend or remove it"
        )
    return Done("keys disabled" if disabled else None)


async def _delete_keys(app: App, team: str, existing: ExistingKeys) -> Outcome:
    readers = (await observe_secrets(app, team, None, list_readers=True)).readers
    await gather_all(*(app.roles.revoke(secret, group) for group in readers for secret in existing.secrets))
    await gather_all(*(app.vault.delete(secret) for secret, versions in existing.secrets.items() if versions))
    return Done("keys deleted" if any(existing.secrets.values()) else None)


async def _disable(app: App, existing: ExistingKeys, since: datetime) -> bool:
    """Disable all versions and tag them with the time of the withdrawal. Returns whether any was enabled, or
    had no such tag.
    """
    versions = chain.from_iterable(existing.secrets.values())
    live = [version for version in versions if version.enabled or not version.tags.get("withdrawn")]
    mark = {"withdrawn": format_time(since)}
    await gather_all(*(app.vault.update(version, False, marked(version.tags, mark)) for version in live))
    return bool(live)


def _withdrawn_since(existing: ExistingKeys) -> datetime | None:
    newest = [version for secret in existing.secrets if (version := existing.newest(secret)) is not None]
    times = [read_time(version.tags.get("withdrawn")) for version in newest]
    return min((time for time in times if time is not None), default=None)
