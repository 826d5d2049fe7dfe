"""A team's keys: its subscription, its secrets in the vault, and who may read them; given and taken away.

A vault knows no If-Match, so no service fences these writes: the pipeline reads the branch again afterwards.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from shared import names
from shared.app import App
from shared.branch.decision import Decision, ensure_branch_unchanged
from shared.errors import Busy, Rejected
from shared.marker import Marker, format_time
from shared.messaging.messages import TeamMessage
from shared.messaging.outcomes import Done, Event, Outcome, Waiting, worth_saying
from shared.ports import Keys
from shared.requests.request import AccessRequest
from shared.resources.actual import SecretVersion, Subscription
from shared.resources.key_slots import EXPOSED, Renewal, Slot, exposed_since
from shared.resources.keys import (
    ActualKeys,
    Content,
    Exposed,
    Renewed,
    Tagged,
    names_reader,
    plan_keys,
    plan_withdrawn_keys,
    renewal_of,
    role_of,
)
from shared.resources.plan import ANY_VERSION, UNREAD, Change, Create, Delete, Plan, Update
from shared.resources.secret_tags import marked, with_others
from shared.resources.subscription import display_name, works
from shared.secret import SecretValue
from shared.stages.apply import Secret, apply_plan, gather_all, write_secret
from shared.stages.existing_keys import read_gateway_keys, read_keys
from shared.stages.mirrors import put_mirror, renew_mirror
from shared.stages.ownership import own_marker
from shared.stages.renew_key import KEY, make_new, publish

ENDPOINT = "URL"


async def deliver(app: App, event: Event[TeamMessage], decision: Decision) -> Outcome:
    """Make subscription, secrets and readers agree with the request; write only what differs."""
    request = decision.request
    assert request is not None
    team, keys = request.team, None
    actual = await _read(app, event, decision, request)
    plan = _plan(app, event, request, decision, actual)
    plan.require_allowed()
    if plan.unread or (event.verify_markers and works(actual.subscription, team)):
        keys, mirrored = await read_gateway_keys(app, team, actual.mirror)
        actual = actual.with_gateway_keys(team, keys, mirrored=mirrored)
        plan = _plan(app, event, request, decision, actual)
    has_mirror = isinstance(actual.mirror, Subscription)
    await apply_plan(plan.writable(), KeyWriter(app, event, decision, keys, has_mirror=has_mirror))
    return _outcome(app, event, request, actual, plan)


async def _read(
    app: App, event: Event[TeamMessage], decision: Decision, request: AccessRequest
) -> ActualKeys:
    """The keys as they are; with all role assignments on the secrets where the readers have changed or a key
    is exposed.

    A late delivery may have granted a role to a group that no tag names any more; and the former group of an
    exposed key may still have its role, and could read the new key.
    """
    team, group, granted = request.team, request.entra_group, decision.granted_groups
    actual = await read_keys(
        app,
        team,
        group,
        granted_groups=granted,
        list_readers=event.verify_markers,
        with_mirror=_is_mirrored(decision),
    )
    if event.verify_markers:
        return await _with_mirror(app, team, actual)
    has_others = bool(replace(actual, granted_groups=frozenset()).other_groups(team, group))
    if not has_others and renewal_of(team, group or "", actual, event.now, app.timeouts.key_overlap).nothing:
        return await _with_sleeping_mirror(app, team, actual)
    return await read_keys(app, team, group, granted_groups=granted, list_readers=True, with_mirror=True)


async def _with_sleeping_mirror(app: App, team: str, actual: ActualKeys) -> ActualKeys:
    """A team that comes back may have a mirror of a catalogue that wanted one."""
    return actual if works(actual.subscription, team) else await _with_mirror(app, team, actual)


async def _with_mirror(app: App, team: str, actual: ActualKeys) -> ActualKeys:
    """Read beside nothing: a team without a subscription has no mirror."""
    if actual.mirror is not UNREAD or actual.subscription is None:
        return actual
    return replace(actual, mirror=await app.gateway.subscription(names.mirror(names.subscription(team))))


def _is_mirrored(decision: Decision) -> bool:
    return decision.catalog is not None and decision.catalog.bearer_way == "mirrored"


def _plan(
    app: App, event: Event[TeamMessage], request: AccessRequest, decision: Decision, actual: ActualKeys
) -> Plan:
    marker = Marker(app.platform.repository, request.team, decision.path, decision.commit)
    return plan_keys(
        request,
        marker,
        app.platform.gateway_url,
        actual,
        event.now,
        app.timeouts.key_overlap,
        mirrored=_is_mirrored(decision),
    )


def _outcome(
    app: App, event: Event[TeamMessage], request: AccessRequest, actual: ActualKeys, plan: Plan
) -> Outcome:
    """While a key works on for its overlap, the stage of a push comes back when that ends; its status says
    when. So does the stage that began the overlap, or a retry of it: the push may have been left to a sweep,
    after which no other sweep needs to come. Later sweeps leave no message behind.
    """
    note, reader = _note(request), request.entra_group or ""
    renewal = renewal_of(request.team, reader, actual, event.now, app.timeouts.key_overlap)
    if renewal.until is None:
        return Done(worth_saying(event, bool(plan), note), wrote=bool(plan))
    until = f"primary key renewed after {format_time(renewal.until)}"
    if event.message.cause == "push" or event.is_retry or _begins_overlap(plan, renewal):
        return Waiting(renewal.until - event.now, "HandOverDelay", patient=True, note=until)
    return Done(worth_saying(event, bool(plan), f"{note}; {until}"), wrote=bool(plan))


def _begins_overlap(plan: Plan, renewal: Renewal) -> bool:
    """Whether the overlap of an exposed key begins now: its secret, as it was found, does not say so yet."""
    bodies = (change.body for change in plan if isinstance(change, Update))
    return any(isinstance(body, Exposed) and body.slot in renewal.waiting for body in bodies)


def _note(request: AccessRequest) -> str:
    if request.entra_group is None:
        return "keys in vault; no group may read them yet: add entraGroup"
    return (
        f"keys in vault: {names.primary_key_secret(request.team)}, {names.secondary_key_secret(request.team)}"
    )


class KeyWriter:
    """Writes a team's keys. `keys` are those that the gateway takes; None where they were not read.
    `has_mirror`: a mirror was there when they were read, and follows the keys.
    """

    def __init__(
        self,
        app: App,
        event: Event[TeamMessage],
        decision: Decision,
        keys: Keys | None = None,
        *,
        has_mirror: bool = False,
    ) -> None:
        self._app = app
        self._event = event
        self._decision = decision
        self._team = event.message.team
        self._keys = keys
        self._is_woken = False
        self._has_mirror = has_mirror

    async def __call__(self, change: Change) -> None:
        match change:
            case Create("secret role", name):
                await self._app.roles.grant(*role_of(name))
            case Delete("secret role", name):
                await self._app.roles.revoke(*role_of(name))
            case Delete("secret", name):
                await self._app.vault.delete(name)
            case Create() | Update() | Delete() if change.kind in ("subscription", "mirror"):
                await self._write_subscription(change)
            case Update("key", _, _, Renewed(slot, tags)):
                await publish(self._app, self._team, slot, await self._new_key(slot), tags)
            case Create("secret", name, body) | Update("secret", name, _, body):
                await self._write_secret(name, body)
            case _:
                raise TypeError(f"the vault cannot write {change}")

    async def _write_subscription(self, change: Change) -> None:
        match change:
            case Update("subscription", name, tag, "suspended"):
                await self._app.gateway.suspend_subscription(name, tag or ANY_VERSION)
            case Delete("subscription", name, tag):
                await self._app.gateway.delete_subscription(name, tag)
            case Create("subscription"):
                await self._wake(None, ())
            case Update("subscription", _, tag, renewed):
                await self._wake(tag, renewed)
            case Create("mirror"):
                await self._put_mirror(None)
            case Update("mirror", _, tag):
                await self._put_mirror(tag)
            case _:
                raise TypeError(f"the vault cannot write {change}")

    async def _put_mirror(self, etag: str | None) -> None:
        assert self._keys is not None, "the plan says that they are needed"
        team = self._team
        if etag is not None:
            await ensure_branch_unchanged(self._app, self._event, self._decision)
        shown = display_name(self._app.platform.repository, team)
        where = names.subscription(team), names.product(team), shown, etag
        await put_mirror(self._app.gateway, *where, keys=self._keys)

    async def _new_key(self, slot: int) -> SecretValue:
        """Those of a woken subscription are new already. The old key of the mirror goes with its own."""
        if self._is_woken and self._keys is not None:
            return self._keys[slot]
        self._keys = await make_new(self._app, self._event, self._decision, slot)
        if self._has_mirror:
            await renew_mirror(self._app.gateway, names.subscription(self._team), self._keys)
        return self._keys[slot]

    async def _write_secret(self, name: str, body: Content | Tagged | Exposed) -> None:
        app = self._app
        match body:
            case Tagged(version, enabled, tags):
                await app.vault.update(version, enabled, tags)
            case Exposed(slot, versions, since):
                await self._mark(slot, versions, since)
            case Content(None, newest, tags):
                secret = Secret(name, ENDPOINT, SecretValue(app.platform.gateway_url))
                await write_secret(app, secret, newest, tags)
            case Content(int() as slot, newest, tags):
                await self._write_key(slot, Secret(name, KEY, self._key(slot)), newest, tags)

    def _key(self, slot: int) -> SecretValue:
        assert self._keys is not None, "the plan says that they are needed"
        return self._keys[slot]

    async def _write_key(
        self, slot: int, secret: Secret, newest: SecretVersion | None, tags: Mapping[str, str]
    ) -> None:
        """Another reader is named in a new version: the tags of one that exists may say by now that a handler
        which lost its lock has let another group read it, and nothing else would. Raises Busy if they do.
        """
        reader = tags["reader"]
        if newest is None or not newest.enabled or names_reader(newest, reader):
            await write_secret(self._app, secret, newest, tags)
            return
        written = await publish(self._app, self._team, slot, secret.value, with_others(tags, newest.tags))
        if exposed_since(Slot.of(written), reader, self._event.now) is not None:
            raise Busy(f"another group could read {secret.name} meanwhile")

    async def _mark(self, slot: int, versions: Sequence[SecretVersion], since: datetime) -> None:
        """Mark a key as exposed, in a new version of its secret with the same value.

        A handler that lost its lock, and writes late, writes the tags of a version that it has read: of this
        one it knows nothing. A key that the gateway does not take is marked in place: it is renewed at once.
        """
        newest, keys = versions[0], self._keys
        tags = marked(newest.tags, {EXPOSED: format_time(since)})
        if keys is not None and keys[slot].fingerprint(newest.name) == newest.tags.get("fingerprint"):
            await publish(self._app, self._team, slot, keys[slot], tags)
        else:
            await self._app.vault.update(newest, newest.enabled, tags)

    async def _wake(self, etag: str | None, renewed: Sequence[int]) -> None:
        """Create or activate the subscription. Exposed keys are renewed before they work again; no ETag
        fences that, so the branch is asked once more.
        """
        gateway, name = self._app.gateway, names.subscription(self._team)
        if etag is not None and renewed:
            await ensure_branch_unchanged(self._app, self._event, self._decision)
            await gather_all(*(gateway.regenerate_key(name, which) for which in renewed))
            found = await gateway.subscription(name)
            etag = None if found is None else found.etag
        if etag is not None:
            await ensure_branch_unchanged(self._app, self._event, self._decision)
        answer = await self._put_subscription(etag)
        self._keys, self._is_woken = answer or await gateway.keys(name), True

    async def _put_subscription(self, etag: str | None) -> Keys | None:
        """Raises Busy when the team has no product: it was deleted, or the message was sent for an older
        state of the branch.
        """
        gateway, team = self._app.gateway, self._team
        shown = display_name(self._app.platform.repository, team)
        given = names.subscription(team), names.product(team), shown, etag
        try:
            return await gateway.put_subscription(*given)
        except Rejected:
            if await gateway.product(names.product(team)) is None:
                raise Busy(f"{team} has no product yet", reason="ProductNotThere") from None
            return await gateway.put_subscription(*given)


async def withdraw_keys(app: App, event: Event[TeamMessage], decision: Decision) -> Outcome:
    """Suspend the subscription and disable every version of the team's secrets; delete the secrets, and the
    roles on them, when the grace period is over or the product is gone.
    """
    team = event.message.team
    owner = own_marker(app, team)
    actual, product = await asyncio.gather(
        read_keys(app, team, None, with_mirror=True), app.gateway.product(names.product(team))
    )

    def plan_of(found: ActualKeys) -> Plan:
        return plan_withdrawn_keys(
            owner,
            found,
            event.now,
            app.timeouts.grace,
            has_product=product is not None,
            in_doubt=decision.in_doubt,
        )

    plan = plan_of(actual)
    if plan.unread:
        plan = plan_of(await read_keys(app, team, None, list_readers=True, with_mirror=True))
    if any(change.kind == "subscription" for change in plan):
        # A delivery of keys during the withdrawal created or woke it after the gateway's stage had read it.
        await ensure_branch_unchanged(app, event, decision)
    await apply_plan(plan.writable(despite_refusals=True), KeyWriter(app, event, decision))
    plan.require_allowed()
    if plan.deletes:
        return Done("keys deleted")
    return Done("keys disabled" if plan else None)
