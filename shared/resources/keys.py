"""A team's keys: its subscription, its secrets in the vault, and who may read them; the plans that give and
withdraw them.

Values are not part of a plan: the stage has them from the gateway while it writes.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import chain

from shared import names
from shared.errors import NotManaged
from shared.marker import Marker, format_time, owner_of, read_time, reader_of
from shared.requests.request import AccessRequest
from shared.resources.actual import RoleGrant, SecretVersion, Subscription
from shared.resources.bearer import mirror_changes
from shared.resources.key_slots import EXPOSED, PRIMARY, SECONDARY, Renewal, Slot, is_marked, renewal
from shared.resources.plan import (
    UNREAD,
    Change,
    Create,
    Delete,
    Kind,
    Plan,
    Refused,
    Unread,
    Update,
    in_steps,
    known,
)
from shared.resources.product import suspension
from shared.resources.secret_tags import equivalent, marked, with_others
from shared.resources.subscription import is_own, works
from shared.secret import SecretValue


@dataclass(frozen=True, slots=True)
class ActualKeys:
    """The existing keys of a team. `secrets` are the versions by name, newest first; lists show the newest.
    `readers` are by secret. `granted_groups` are groups that a stage may have given the role already,
    although no list shows it yet. `fingerprints` are those of the gateway's keys, primary first.

    `lists_readers`: the readers are all that have the role; otherwise the request's group was looked for.
    """

    subscription: Subscription | None
    secrets: Mapping[str, Sequence[SecretVersion]]
    readers: Mapping[str, frozenset[RoleGrant]]
    granted_groups: frozenset[str] = frozenset()
    fingerprints: tuple[str, str] | Unread = UNREAD
    lists_readers: bool = True
    #: The subscription with the same keys as bearer tokens, and whether its keys are those.
    mirror: Subscription | Unread | None = UNREAD
    is_mirrored: bool | Unread = UNREAD

    def newest(self, secret: str) -> SecretVersion | None:
        return next(iter(self.secrets.get(secret, ())), None)

    def without(self, secrets: Container[str]) -> ActualKeys:
        """The same without these secrets."""
        left = {name: found for name, found in self.secrets.items() if name not in secrets}
        return replace(self, secrets=left)

    def granted_on(self, secret: str) -> frozenset[str]:
        """The groups to which we gave the role on a secret."""
        return frozenset(each.group for each in self.readers.get(secret, ()) if each.ours)

    def other_groups(self, team: str, group: str | None) -> frozenset[str]:
        """The groups that have or had the role, by our assignments and by the tags, and that the request does
        not name.

        The tag of an exposed key does not count: its group has lost the role, or the assignments say so.
        """
        secrets = names.secrets(team)
        tagged = {reader_of(tags) for tags in self._newest_tags(secrets) if EXPOSED not in tags} - {""}
        return self.granted_groups.union(tagged, *map(self.granted_on, secrets)) - {group or ""}

    def _newest_tags(self, secrets: Sequence[str]) -> Iterator[Mapping[str, str]]:
        return (version.tags for name in secrets if (version := self.newest(name)) is not None)

    def with_gateway_keys(
        self,
        team: str,
        keys: Sequence[SecretValue],
        secrets: Mapping[str, Sequence[SecretVersion]] | None = None,
        mirrored: Sequence[SecretValue] | None = None,
    ) -> ActualKeys:
        """With the keys that the gateway takes, primary first, and all versions of these secrets. `mirrored`
        are the keys of the mirror, None where they were not read.
        """
        primary, secondary = (
            value.fingerprint(name) for value, name in zip(keys, names.key_secrets(team), strict=True)
        )
        return replace(
            self,
            fingerprints=(primary, secondary),
            secrets={**self.secrets, **(secrets or {})},
            is_mirrored=UNREAD if mirrored is None else are_mirrored(keys, mirrored),
        )

    def slots(self, team: str) -> tuple[Slot, ...]:
        """The two keys, primary first."""
        found = self.fingerprints
        return tuple(
            Slot.of(self.secrets.get(name, ()), None if isinstance(found, Unread) else found[which])
            for which, name in enumerate(names.key_secrets(team))
        )


def are_mirrored(keys: Sequence[SecretValue], mirrored: Sequence[SecretValue]) -> bool:
    """Whether a mirror has these keys as bearer tokens."""
    wanted = [key.as_bearer().fingerprint("mirror") for key in keys]
    return wanted == [key.fingerprint("mirror") for key in mirrored]


@dataclass(frozen=True, slots=True)
class Content:
    """A secret with its value, enabled, with these tags and its fingerprint. `slot` is the key that it holds;
    None for the gateway's address.
    """

    slot: int | None
    newest: SecretVersion | None
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Tagged:
    """An existing version with other tags."""

    version: SecretVersion
    enabled: bool
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Exposed:
    """The key of a slot, marked as one that another group could read since then."""

    slot: int
    versions: Sequence[SecretVersion]
    since: datetime


@dataclass(frozen=True, slots=True)
class Renewed:
    """A new key in a slot; its secret gets these tags."""

    slot: int
    tags: Mapping[str, str]


def plan_keys(
    request: AccessRequest,
    marker: Marker,
    gateway_url: str,
    actual: ActualKeys,
    now: datetime,
    overlap: timedelta,
    *,
    mirrored: bool = False,
) -> Plan:
    """Groups that may not read any more lose the role first; keys that they could read are renewed, or marked
    while they stay valid; then the subscription, the secrets, and the readers. `mirrored`: the catalogue
    wants the keys as bearer tokens, in a mirror of the subscription; an unwanted mirror is deleted.

    The gateway's keys are needed for secrets that are not complete, and where a key is exposed.
    """
    team, reader = request.team, request.entra_group or ""
    if refused := _refused(marker, actual):
        return Plan(refused=refused)
    former = sorted(actual.other_groups(team, reader))
    revoked = [role_name(each, group) for group in former for each in names.secrets(team)]
    marks = list(_marks(team, reader, actual, now))
    actual, is_working = _with_marks(actual, marks), works(actual.subscription, team)
    renewed = _renewal(team, reader, actual, now, overlap, has_former_readers=bool(former))
    tags = _tags(marker, reader)
    mirror = _mirror_changes(marker, actual, mirrored=mirrored)
    is_complete = renewed.nothing and _are_complete(team, reader, actual, mirror)
    return Plan(
        in_steps(
            marks,
            [Delete("secret role", each, "") for each in revoked],
            () if is_working else _subscription_change(team, actual.subscription, renewed),
            *([each] for each in _renewals(team, actual, renewed, tags)),
            mirror,
            _secret_changes(team, gateway_url, actual, renewed, tags, marks=marks),
            _role_changes(team, reader, actual),
        ),
        unread=_unread(actual, is_needed=is_working and not is_complete),
    )


def _mirror_changes(owner: Marker, actual: ActualKeys, *, mirrored: bool) -> Sequence[Change]:
    found, subscription = actual.mirror, names.subscription(owner.team)
    if isinstance(found, Unread):
        return ()
    return mirror_changes(
        owner,
        names.mirror(subscription),
        names.product(owner.team),
        found,
        is_wanted=mirrored,
        is_equal=actual.is_mirrored is not False and works(actual.subscription, owner.team),
    )


def role_name(secret: str, group: str) -> str:
    """What a plan calls a group's role on a secret; neither name has a space."""
    return f"{secret} {group}"


def role_of(name: str) -> tuple[str, str]:
    """The secret and the group."""
    secret, _, group = name.partition(" ")
    return secret, group


def renewal_of(team: str, reader: str, actual: ActualKeys, now: datetime, overlap: timedelta) -> Renewal:
    """Which of the team's keys are to be renewed now or after the overlap, as far as they were read.

    The keys of a suspended subscription have no users: both are renewed at once, for any reason.
    """
    marked_keys = _with_marks(actual, list(_marks(team, reader, actual, now)))
    has_former_readers = bool(actual.other_groups(team, reader))
    return _renewal(team, reader, marked_keys, now, overlap, has_former_readers=has_former_readers)


def _renewal(
    team: str,
    reader: str,
    actual: ActualKeys,
    now: datetime,
    overlap: timedelta,
    *,
    has_former_readers: bool,
) -> Renewal:
    if works(actual.subscription, team):
        return renewal(actual.slots(team), reader, now, overlap)
    slots = [replace(slot, at_gateway=None) for slot in actual.slots(team)]
    is_exposed = bool(renewal(slots, reader, now, timedelta(0)).now)
    return Renewal((SECONDARY, PRIMARY)) if is_exposed or has_former_readers else Renewal()


def _unread(actual: ActualKeys, *, is_needed: bool) -> frozenset[Kind]:
    return frozenset({"key"}) if is_needed and actual.fingerprints is UNREAD else frozenset()


def _refused(marker: Marker, actual: ActualKeys) -> tuple[Refused, ...]:
    return (
        *_refused_subscription(marker, actual.subscription),
        *_refused_subscription(marker, known(actual.mirror, None)),
        *_refused_secrets(marker, actual),
    )


def _refused_subscription(
    owner: Marker, found: Subscription | None, *, is_active: bool = False
) -> tuple[Refused, ...]:
    """A foreign subscription with the name of the team's own. `is_active`: only one whose keys work."""
    if found is None or is_own(owner, found) or (is_active and found.state != "active"):
        return ()
    text = (
        f"there is a subscription {found.name} that is not managed by mergekey for {owner.team}: suspend or "
        "remove it"
    )
    return (Refused("subscription", found.name, NotManaged, text),)


def _refused_secrets(owner: Marker, actual: ActualKeys) -> tuple[Refused, ...]:
    return tuple(
        Refused(
            "secret",
            name,
            NotManaged,
            f"there is a secret {name} that is not managed by mergekey for {owner.team}: rename or remove it",
        )
        for name in names.secrets(owner.team)
        if (newest := actual.newest(name)) is not None
        and owner_of(newest.tags) != (owner.repository, owner.team)
    )


def _marks(team: str, reader: str, actual: ActualKeys, now: datetime) -> Iterator[Change]:
    """Mark the keys that a group without a tag could read, before its role is revoked: the role is the only
    trace of it.

    A group that has its role on one key may have been given it on the other one too, after the assignments
    there were read: its role is revoked on both, so both are marked.
    """
    secrets = names.key_secrets(team)
    groups = actual.granted_groups.union(*map(actual.granted_on, secrets))
    for slot, name in enumerate(secrets):
        newest = actual.newest(name)
        if newest is not None and EXPOSED not in newest.tags and groups - {reader, newest.tags.get("reader")}:
            yield Update("secret", name, None, Exposed(slot, actual.secrets[name], now))


def _with_marks(actual: ActualKeys, marks: Sequence[Change]) -> ActualKeys:
    if not marks:
        return actual
    written = dict(actual.secrets)
    for change in marks:
        newest, *older = written[change.name]
        assert isinstance(change, Update)
        tags = marked(newest.tags, {EXPOSED: format_time(change.body.since)})
        written[change.name] = (replace(newest, tags=tags), *older)
    return replace(actual, secrets=written)


def _subscription_change(team: str, found: Subscription | None, renewed: Renewal) -> Iterator[Change]:
    """Exposed keys are renewed before they work again."""
    name = names.subscription(team)
    if found is None:
        yield Create("subscription", name)
    else:
        yield Update("subscription", name, found.etag, renewed.now)


def _renewals(team: str, actual: ActualKeys, renewed: Renewal, tags: Mapping[str, str]) -> Iterator[Change]:
    """One after the other: the other key works meanwhile."""
    for slot in renewed.now:
        name = names.key_secrets(team)[slot]
        newest = actual.newest(name)
        with_foreign = with_others({**tags, "fingerprint": ""}, None if newest is None else newest.tags)
        yield Update("key", name, None, Renewed(slot, with_foreign))


def _secret_changes(
    team: str,
    gateway_url: str,
    actual: ActualKeys,
    renewed: Renewal,
    tags: Mapping[str, str],
    *,
    marks: Sequence[Change],
) -> Iterator[Change]:
    """The secrets that differ; those of renewed keys are written with the key."""
    endpoint = names.endpoint_secret(team)
    address = SecretValue(gateway_url).fingerprint(endpoint)
    yield from _content_change(endpoint, None, actual.newest(endpoint), tags, address)
    just_marked = {change.name for change in marks}
    for slot, name in enumerate(names.key_secrets(team)):
        newest, since = actual.newest(name), renewed.waiting.get(slot)
        if slot in renewed.now or name in just_marked:
            continue
        if newest is not None and since is not None:
            yield from _exposed_change(slot, name, actual.secrets[name], since)
        elif not works(actual.subscription, team):
            yield from _content_change(name, slot, newest, tags, None)
        elif isinstance(actual.fingerprints, Unread):
            yield from _tags_change(name, slot, newest, tags)
        else:
            yield from _content_change(name, slot, newest, tags, actual.fingerprints[slot])


def _content_change(
    name: str,
    slot: int | None,
    newest: SecretVersion | None,
    tags: Mapping[str, str],
    fingerprint: str | None,
) -> Iterator[Change]:
    """`fingerprint` is that of the right value; None while that is unknown, because the subscription is
    created or woken first.
    """
    if newest is None:
        yield Create("secret", name, Content(slot, None, tags))
        return
    wanted = with_others({**tags, "fingerprint": fingerprint or ""}, newest.tags)
    if not (fingerprint and newest.enabled and equivalent(newest.tags, wanted)):
        yield Update("secret", name, None, Content(slot, newest, tags))


def _tags_change(
    name: str, slot: int, newest: SecretVersion | None, tags: Mapping[str, str]
) -> Iterator[Change]:
    """The value of a complete secret is right; the tags may name another reader."""
    held = "" if newest is None else newest.tags.get("fingerprint", "")
    if newest is None or not held or not newest.enabled:
        yield from _content_change(name, slot, newest, tags, None)
        return
    wanted = with_others({**tags, "fingerprint": held}, newest.tags)
    if not equivalent(newest.tags, wanted):
        yield Update("secret", name, None, Tagged(newest, True, wanted))


def _exposed_change(
    slot: int, name: str, versions: Sequence[SecretVersion], since: datetime
) -> Iterator[Change]:
    """An exposed key works on for its overlap. Its tag `reader` stays as it is until the key is renewed."""
    newest = versions[0]
    if not is_marked(newest.tags, since):
        yield Update("secret", name, None, Exposed(slot, versions, since))
    elif not newest.enabled:
        yield Update("secret", name, None, Tagged(newest, True, newest.tags))


def _role_changes(team: str, reader: str, actual: ActualKeys) -> Iterator[Change]:
    if not reader:
        return
    for name in names.secrets(team):
        if reader not in {each.group for each in actual.readers.get(name, ())}:
            yield Create("secret role", role_name(name, reader))


def _are_complete(team: str, reader: str, actual: ActualKeys, mirror: Sequence[Change]) -> bool:
    """Whether no key has to be written: another reader is named in a new version."""
    if any(change.kind == "mirror" for change in mirror):
        return False
    newest = (actual.newest(name) for name in names.key_secrets(team))
    return all(
        each is not None
        and each.enabled
        and bool(each.tags.get("fingerprint"))
        and names_reader(each, reader)
        for each in newest
    )


def names_reader(version: SecretVersion, reader: str) -> bool:
    """Whether a version says that this group may read it; an empty `reader` is none."""
    return version.tags.get("reader", "").lower() == reader.lower()


def _tags(marker: Marker, reader: str) -> dict[str, str]:
    """At most 256 characters each; the fingerprint is added with the value."""
    return {
        "managed-by": "mergekey",
        "repository": str(marker.repository),
        "team": marker.team,
        "commit": marker.commit,
        "reader": reader,
    }


def plan_withdrawn_keys(
    owner: Marker,
    actual: ActualKeys,
    now: datetime,
    grace: timedelta,
    *,
    has_product: bool,
    in_doubt: bool,
) -> Plan:
    """Suspend the subscription and disable every version of the team's secrets; delete the secrets, and the
    roles on them, when the grace period is over or the product is gone.

    `in_doubt`: the branch cannot be read; nothing is deleted.
    """
    closing = list(suspension(owner, actual.mirror, actual.subscription))
    refused = _refused_secrets(owner, actual)
    own = actual.without({each.name for each in refused})
    since = _withdrawn_since(owner.team, own)
    is_over = not has_product or (since is not None and now >= since + grace)
    if is_over and not in_doubt:
        unread = frozenset[Kind]() if actual.lists_readers else frozenset[Kind]({"secret role"})
        return Plan(in_steps(closing, *_deletions(owner.team, own)), refused=refused, unread=unread)
    theirs = [
        each
        for found in (actual.subscription, known(actual.mirror, None))
        for each in _refused_subscription(owner, found, is_active=True)
    ]
    return Plan(in_steps(closing, _disabled(own, since or now)), refused=(*refused, *theirs))


def _withdrawn_since(team: str, actual: ActualKeys) -> datetime | None:
    newest = (actual.newest(name) for name in names.secrets(team))
    times = [read_time(version.tags.get("withdrawn")) for version in newest if version is not None]
    return min((time for time in times if time is not None), default=None)


def _deletions(team: str, actual: ActualKeys) -> Iterator[list[Change]]:
    """The roles go before the secrets: a role outlives its secret."""
    groups = sorted(actual.other_groups(team, None))
    secrets = names.secrets(team)
    yield [Delete("secret role", role_name(name, group), "") for group in groups for name in secrets]
    yield [Delete("secret", name, "") for name in secrets if actual.newest(name) is not None]


def _disabled(actual: ActualKeys, since: datetime) -> Iterator[Change]:
    """Disable all versions and tag them with the time of the withdrawal."""
    mark = {"withdrawn": format_time(since)}
    for version in chain.from_iterable(actual.secrets.values()):
        if version.enabled or not version.tags.get("withdrawn"):
            yield Update("secret", version.name, None, Tagged(version, False, marked(version.tags, mark)))
