"""A team's keys: its subscription, its secrets in the vault, and who may read them; given and taken away.

Nothing here is fenced by the services (a vault has no If-Match), so the pipeline looks at the branch again
afterwards.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

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
from shared.resources.secret_tags import are_as, marked, with_others
from shared.secret import SecretValue
from shared.stages.apply import Secret, gather_all, write_secret
from shared.stages.existing_keys import ExistingKeys, observe, observe_secrets
from shared.stages.ownership import display_name, is_own_subscription
from shared.stages.renew_key import KEY, make_new, publish

ENDPOINT = "URL"


@dataclass(frozen=True, slots=True)
class _Given:
    """The gateway's keys, None where nobody needs them, and which of them are not what they shall be.
    `woken`: those of the subscription that has just been made or woken are new already, as far as they are
    exposed.
    """

    keys: Keys | None
    renewal: Renewal
    woken: bool


async def deliver(app: App, event: Event[TeamMessage], decision: Decision) -> Outcome:
    """Bring subscription, secrets and readers to what the request says; write only what differs."""
    request = decision.request
    assert request is not None
    found = await _observe_hands(app, event, request)
    held = await _remember_strangers(app, event, request, found)
    gone = (held.readers | decision.let_in) - {request.entra_group}
    await gather_all(*(app.roles.revoke(secret, group) for group in gone for secret in held.secrets))
    given, tags = (
        await _keys(app, event, decision, held, changed_hands=bool(gone)),
        _tags(app, request, decision.commit),
    )
    for which in given.renewal.now:
        value = (
            given.keys[which] if given.keys and given.woken else await make_new(app, event, decision, which)
        )
        await publish(
            app, request.team, which, value, _kept(tags, held.newest(names.secrets(request.team)[which]))
        )
    wrote = await _write_secrets(app, request.team, held, given, tags)
    missing = frozenset(held.secrets) - held.granted if request.entra_group else frozenset()
    await gather_all(*(app.roles.grant(secret, request.entra_group or "") for secret in sorted(missing)))
    changed = wrote or bool(missing or gone or given.woken or given.renewal.now)
    return _outcome(event, request, given.renewal, changed, began=_begins(found, request.team, given.renewal))


async def _observe_hands(app: App, event: Event[TeamMessage], request: AccessRequest) -> ExistingKeys:
    """Where hands have changed, who was let in where, too: a late delivery may have let a group in after its
    tag was gone. And where a key is exposed: whoever marked it may not have taken the role away yet, and the
    new key would be open to the same group.
    """
    held, reader = await observe(app, request.team, request.entra_group, event.closely), request.entra_group
    exposed = renewal(held.slots(request.team), reader or "", event.now, app.limits.key_overlap)
    if event.closely or (exposed.nothing and not held.readers - {reader}):
        return held
    return await observe(app, request.team, request.entra_group, closely=True)


async def _remember_strangers(
    app: App, event: Event[TeamMessage], request: AccessRequest, held: ExistingKeys
) -> ExistingKeys:
    """A delivery that came too late may have let a group in that no tag names: the role is the only trace of
    it. The key's secret says so before the role is taken away.
    """
    known: dict[str, SecretVersion] = {}
    for secret in names.key_secrets(request.team):
        newest, let_in = held.newest(secret), held.let_in.get(secret, frozenset())
        if (
            newest is not None
            and EXPOSED not in newest.tags
            and let_in - {request.entra_group, newest.tags.get("reader")}
        ):
            known[secret] = replace(newest, tags=marked(newest.tags, {EXPOSED: format_time(event.now)}))
    await gather_all(
        *(app.vault.update(version, version.enabled, version.tags) for version in known.values())
    )
    written = {secret: (version, *held.secrets[secret][1:]) for secret, version in known.items()}
    return replace(held, secrets={**held.secrets, **written})


def _begins(found: ExistingKeys, team: str, renewal: Renewal) -> bool:
    """Whether the time of a key that works on begins now: its secret, as it was found, did not say so yet."""
    newest = {which: found.newest(names.key_secrets(team)[which]) for which in renewal.waiting}
    return any(
        version is not None and not is_marked(version.tags, renewal.waiting[which])
        for which, version in newest.items()
    )


def _outcome(
    event: Event[TeamMessage], request: AccessRequest, renewal: Renewal, changed: bool, *, began: bool
) -> Outcome:
    """Whoever pushed sees until when a key works on. So does whoever began that time, or may have died in it:
    a push may be left to a sweep, after which none needs to come. Later sweeps leave no message behind.
    """
    note = _note(request)
    if renewal.until is None:
        return Done(worth_saying(event, changed, note), wrote=changed)
    until = f"primary key renewed after {format_time(renewal.until)}"
    if event.message.cause == "push" or event.again or began:
        return Waiting(renewal.until - event.now, "HandOverDelay", patient=True, note=until)
    return Done(worth_saying(event, changed, f"{note}; {until}"), wrote=changed)


def _note(request: AccessRequest) -> str:
    if request.entra_group is None:
        return "keys in vault; nobody may read them yet: add entraGroup"
    return (
        f"keys in vault: {names.primary_key_secret(request.team)}, {names.secondary_key_secret(request.team)}"
    )


async def _keys(
    app: App, event: Event[TeamMessage], decision: Decision, held: ExistingKeys, changed_hands: bool
) -> _Given:
    """The keys if they are needed: from the answer that made or woke the subscription, else asked for. They
    are needed too where what the vault holds shall be compared with them (`event.closely`), and where one was
    open to others.
    """
    team, subscription = event.message.team, held.subscription
    assert decision.request is not None
    reader, overlap = decision.request.entra_group or "", app.limits.key_overlap
    if subscription is None or subscription.state != "active" or subscription.product != names.product(team):
        # Nobody uses keys that are asleep: there both are made new for any reason, and nothing has to wait.
        asleep = renewal(held.slots(team), reader, event.now, timedelta(0))
        both = Renewal((SECONDARY, PRIMARY)) if asleep.now or changed_hands else Renewal()
        return _Given(await _wake(app, event, decision, subscription, both), both, woken=True)
    whole = all(_is_whole(held.newest(secret)) for secret in names.key_secrets(team))
    if whole and not event.closely and renewal(held.slots(team), reader, event.now, overlap).nothing:
        return _Given(None, Renewal(), woken=False)
    keys = await app.gateway.keys(names.subscription(team))
    return _Given(keys, renewal(held.slots(team, keys), reader, event.now, overlap), woken=False)


async def _wake(
    app: App,
    event: Event[TeamMessage],
    decision: Decision,
    subscription: Subscription | None,
    exposed: Renewal,
) -> Keys:
    """What others could read is made new before the keys work (again). Nothing fences a new key."""
    team = event.message.team
    name = names.subscription(team)
    if subscription is not None and exposed.now:
        await ensure_branch_unchanged(app, event, decision)
        await gather_all(*(app.gateway.regenerate_key(name, which) for which in exposed.now))
        subscription = await app.gateway.subscription(name)
    if subscription is not None:
        await ensure_branch_unchanged(app, event, decision)
    answer = await _put_subscription(app, team, subscription.etag if subscription else None)
    return answer or await app.gateway.keys(name)


async def _put_subscription(app: App, team: str, etag: str | None) -> Keys | None:
    """The keys may have been asked for when the branch said something else, or somebody deleted the product:
    it comes (back).
    """
    given = names.subscription(team), names.product(team), display_name(app, team), etag
    try:
        return await app.gateway.put_subscription(*given)
    except Rejected:
        if await app.gateway.product(names.product(team)) is None:
            raise Busy(f"{team} has no product yet", reason="ProductNotThere") from None
        return await app.gateway.put_subscription(*given)


async def _write_secrets(
    app: App, team: str, held: ExistingKeys, given: _Given, tags: Mapping[str, str]
) -> bool:
    """All but the keys that were made new: those are in the vault already."""
    endpoint = Secret(names.endpoint_secret(team), ENDPOINT, SecretValue(app.platform.gateway_url))
    written = [write_secret(app, endpoint, held.newest(endpoint.name), tags)]
    for which, name in enumerate(names.key_secrets(team)):
        newest, since = held.newest(name), given.renewal.waiting.get(which)
        if newest is not None and since is not None:
            written.append(_leave(app, newest, since))
        elif given.keys is not None and which not in given.renewal.now:
            written.append(write_secret(app, Secret(name, KEY, given.keys[which]), newest, tags))
        elif given.keys is None:
            written.append(_retag(app, newest, tags))
    return any(await _all(written))


async def _leave(app: App, newest: SecretVersion, since: datetime) -> bool:
    """A key that was open to others and works on for a while. Who could read it stays written there until it
    is made new.
    """
    if newest.enabled and is_marked(newest.tags, since):
        return False
    await app.vault.update(newest, True, marked(newest.tags, {EXPOSED: format_time(since)}))
    return True


async def _retag(app: App, newest: SecretVersion | None, tags: Mapping[str, str]) -> bool:
    """The value is right and stays; the tags may have to say who reads it now."""
    if newest is None:
        return False
    wanted = with_others({**tags, "fingerprint": newest.tags.get("fingerprint", "")}, newest.tags)
    if are_as(newest.tags, wanted):
        return False
    await app.vault.update(newest, True, wanted)
    return True


async def _all(written: Sequence[Coroutine[None, None, bool]]) -> list[bool]:
    tasks = [asyncio.ensure_future(coroutine) for coroutine in written]
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


def _kept(tags: Mapping[str, str], newest: SecretVersion | None) -> dict[str, str]:
    """With what others wrote on the version that is there."""
    return with_others({**tags, "fingerprint": ""}, None if newest is None else newest.tags)


def _is_whole(version: SecretVersion | None) -> bool:
    return version is not None and version.enabled and bool(version.tags.get("fingerprint"))


async def withdraw_keys(app: App, event: Event[TeamMessage], decision: Decision) -> Outcome:
    """Disable every version of the team's secrets; after grace, or when the product is gone, delete them and
    the roles on them.
    """
    team = event.message.team
    held, product = await asyncio.gather(
        observe_secrets(app, team, None), app.gateway.product(names.product(team))
    )
    if (
        held.subscription is not None
        and is_own_subscription(app, team, held.subscription)
        and held.subscription.state == "active"
    ):
        # A delivery of keys that was under way during the withdrawal made or woke it after the gateway's
        # stage had looked.
        await ensure_branch_unchanged(app, event, decision)
        await app.gateway.suspend_subscription(held.subscription.name, held.subscription.etag)
    since = _withdrawn_since(held.newest(secret) for secret in held.secrets)
    if (
        product is None or (since is not None and event.now >= since + app.limits.grace)
    ) and not decision.in_doubt:
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
        and not is_own_subscription(app, team, held.subscription)
        and held.subscription.state == "active"
    ):
        raise NotManaged(
            f"there is a subscription {held.subscription.name} that is not managed by mergekey for {team}: "
            "suspend or remove it"
        )
    return Done("keys disabled" if live else None)


def _withdrawn_since(newest: Iterable[SecretVersion | None]) -> datetime | None:
    marks = [read_time(version.tags.get("withdrawn")) for version in newest if version is not None]
    return min((mark for mark in marks if mark is not None), default=None)
