"""The remote systems as the stages use them: one Protocol per system, one method per remote call.

Every method raises only errors of `shared.errors`. Reading an object that does not exist returns None or an
empty list; deleting it succeeds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Protocol

from shared.documents.problem import Problem
from shared.git import Tree
from shared.marker import Marker
from shared.messaging.messages import CONTENT_TYPE
from shared.messaging.retry_state import IncomingMessage
from shared.messaging.webhook_deliveries import Delivery
from shared.resources.actual import (
    ActualBackend,
    ActualNamedValue,
    Api,
    Fragment,
    Policy,
    Product,
    Project,
    RoleGrant,
    SecretVersion,
    Subscription,
    TracingConnection,
)
from shared.resources.backends import Backend, NamedValue
from shared.resources.bearer import BearerKeys
from shared.resources.desired import DesiredCatalog
from shared.secret import SecretValue


class Clock(Protocol):
    def now(self) -> datetime:
        """The time in UTC."""
        ...


#: Bytes of a message for the headers of its sections, their empty fields, and its scheduled time.
_SECTIONS = 128


@dataclass(frozen=True, slots=True)
class OutgoingMessage:
    """A message on its way to Service Bus. `due` schedules it; `properties` are application properties."""

    entity: str
    message_id: str
    body: bytes
    session: str | None = None
    to: str | None = None
    due: datetime | None = None
    properties: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    content_type: str = CONTENT_TYPE

    @property
    def size(self) -> int:
        """At most so many bytes on the wire, as Service Bus counts them: the body, and all else in AMQP's
        encoding.

        https://docs.oasis-open.org/amqp/core/v1.0/os/amqp-core-types-v1.0-os.html: five bytes around a text,
        nine for a number.
        """
        written = [value for value in self.properties.values() if isinstance(value, str)]
        texts = [
            self.message_id,
            self.session or "",
            self.to or "",
            self.content_type,
            *self.properties,
            *written,
        ]
        encoded = sum(len(text.encode(errors="surrogatepass")) + 5 for text in texts)
        return len(self.body) + encoded + 9 * (len(self.properties) - len(written)) + _SECTIONS


class Bus(Protocol):
    async def send(self, envelopes: Sequence[OutgoingMessage]) -> None:
        """Queue all of them, in order per entity, or raise: then some may be queued. Their ids make a
        repetition harmless. Raises TooLarge for one that is larger than the service takes.
        """
        ...


@dataclass(frozen=True, slots=True)
class QueuedDeadLetter:
    """A message in the queue of dead letters. `sequence` is its number there; later messages have higher
    numbers.
    """

    sequence: int
    received: IncomingMessage


class DeadLetters(Protocol):
    """The queue of dead letters. When a receiver dies, the messages that it had locked come back when their
    locks expire.
    """

    async def peek(self, first: int) -> list[QueuedDeadLetter]:
        """The next page from a number on, in order, without locking any; empty when there are no more. Locked
        ones are shown too.
        """
        ...

    async def lock(self, sequence: int) -> QueuedDeadLetter | None:
        """Lock one for some minutes; None when it is gone. Raises Busy while another receiver holds it."""
        ...

    async def complete(self, sequence: int) -> None:
        """Remove a locked one. Raises Busy when the lock has expired."""
        ...

    async def release(self, sequence: int) -> None:
        """Unlock a locked one."""
        ...


@dataclass(frozen=True, slots=True)
class Head:
    """The branch's newest commit and its tree. `message` is the commit's message, `protected` whether branch
    protection is on.
    """

    commit: str
    tree: str
    protected: bool
    message: str = ""


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit of the branch's history, its message, and its first parent: empty for the first commit."""

    sha: str
    message: str
    parent: str = ""


class Repository(Protocol):
    async def head(self) -> Head | None:
        """The branch's head, or None when there is no such branch."""
        ...

    async def commit_message(self, sha: str) -> str:
        """The message of a commit; empty when GitHub does not have it (any more)."""
        ...

    async def newest_commits(self, head: str) -> list[Commit]:
        """`head` and the commits before it, newest first, at most 300; empty when GitHub does not have it
        (any more).
        """
        ...

    async def is_ancestor(self, ancestor: str, descendant: str) -> bool:
        """Whether `ancestor` is `descendant` or one of the commits before it; False when GitHub does not have
        one of them (any more).
        """
        ...

    async def changed_on(self, path: str, head: str) -> date | None:
        """The UTC day on which the newest commit up to `head` that changed, added or removed the file was
        committed, as the commit says.

        None when GitHub has no such commit.
        """
        ...

    async def tree(self, sha: str) -> Tree | None:
        """All files of a commit or a tree, or None when GitHub does not have it (any more). Raises when it is
        too large to list.
        """
        ...

    async def blob(self, sha: str) -> bytes:
        """The content of a file."""
        ...

    async def file(self, commit: str, path: str) -> bytes | None:
        """The content of one file of a commit, in one call; None when GitHub does not have it (any more), or
        when it is larger than a request may be.
        """
        ...

    async def archive(self, commit: str) -> Mapping[str, bytes]:
        """The contents of a commit's files in one call, by path: at least of those that can be requests or
        the catalogue.

        Symbolic links are left out, and files larger than a request may be are cut. Raises Rejected for an
        archive that is too large.
        """
        ...


#: The primary and the secondary key of an APIM subscription.
Keys = tuple[SecretValue, SecretValue]


class Gateway(Protocol):
    """API Management. Writes carry the ETag that was read, so that they cannot overwrite a change made in
    between.
    """

    async def product(self, name: str) -> Product | None: ...
    async def products(self) -> list[Product]: ...
    async def create_product(self, name: str, display_name: str, marker: Marker) -> str:
        """Creates it unpublished; returns its ETag."""
        ...

    async def publish_product(self, name: str, etag: str, display_name: str, marker: Marker) -> None:
        """Mark success: write the name and the marker, publish it, and require a subscription."""
        ...

    async def mark_product(self, name: str, etag: str, marker: Marker) -> str:
        """Write its marker and nothing else; returns its ETag."""
        ...

    async def require_subscription(self, name: str, etag: str) -> str:
        """Calls without a key are refused from now on; nothing else changes. Returns its ETag."""
        ...

    async def delete_product(self, name: str, etag: str) -> None: ...
    async def product_policy(self, product: str) -> Policy | None: ...
    async def put_product_policy(self, product: str, policy: str, etag: str | None) -> None: ...
    async def link_product(self, product: str, api: str) -> None: ...
    async def unlink_product(self, product: str, api: str) -> None:
        """The product's keys do not open the API any more. It may be unlinked already."""
        ...

    async def is_linked(self, product: str, api: str) -> bool: ...
    async def linked_products(self, api: str) -> frozenset[str]:
        """The products that open an API; none when there is no such API."""
        ...

    async def subscriptions(self) -> list[Subscription]: ...
    async def product_subscriptions(self, product: str) -> list[Subscription]: ...
    async def subscription(self, name: str) -> Subscription | None: ...
    async def put_subscription(
        self, name: str, product: str, display_name: str, etag: str | None, keys: Keys | None = None
    ) -> Keys | None:
        """Creates it active, or makes it active again, with these keys if any are given; the two keys if the
        answer carries them.
        """
        ...

    async def suspend_subscription(self, name: str, etag: str) -> None: ...
    async def keys(self, subscription: str) -> Keys: ...
    async def put_keys(self, subscription: str, keys: Keys) -> None:
        """Other keys, and nothing else: a suspended subscription stays suspended."""
        ...

    async def regenerate_key(self, subscription: str, which: int) -> None:
        """A new primary (0) or secondary (1) key."""
        ...

    async def delete_subscription(self, name: str, etag: str) -> None: ...
    async def backends(self, prefix: str) -> list[ActualBackend]: ...
    async def put_backend(self, backend: Backend, marker: Marker, etag: str | None) -> None: ...
    async def delete_backend(self, name: str, etag: str) -> None: ...
    async def named_values(self, prefix: str, repository: int) -> list[ActualNamedValue]:
        """Those whose names begin so; `ours` are those of this repository."""
        ...

    async def put_named_value(self, value: NamedValue, repository: int, etag: str | None) -> str:
        """Why the gateway cannot read the secret; empty when it can, or has not tried yet. Raises
        AccessDenied where the service does not write the named value then.
        """
        ...

    async def delete_named_value(self, name: str, etag: str) -> None: ...
    async def api(self, name: str) -> Api | None: ...
    async def put_api(self, name: str, desired: DesiredCatalog, marker: Marker, etag: str | None) -> None: ...
    async def api_policy(self, name: str) -> Policy | None: ...
    async def put_api_policy(self, name: str, policy: str, etag: str | None) -> None: ...
    async def fragment(self, name: str) -> Fragment:
        """The digest of a policy fragment, and the number of our rules in its description."""
        ...

    async def put_fragment(self, name: str, text: str) -> None:
        """Its text, with the number of our rules in its description."""
        ...

    async def mark_api(self, name: str, marker: Marker) -> None:
        """Mark success: write the marker and require a subscription."""
        ...

    async def mark_bearer_api(self, name: str, keys: BearerKeys) -> None:
        """The same of the API of bearer keys, and where it takes them."""
        ...

    async def takes_bearer(self, name: str) -> bool:
        """Whether the contract, read in the version that may have it, takes keys as bearer tokens. Raises
        Rejected where the service does not know that version.
        """
        ...

    async def delete_api(self, name: str, etag: str) -> None:
        """With its operations, its policy and its links."""
        ...


class GatewayCalls(Protocol):
    """The gateway of API Management, called as clients call it."""

    async def status(self, url: str, authorization: SecretValue) -> int:
        """The status that a GET with this header `Authorization` is answered with. Raises Unavailable where
        nothing answers.
        """
        ...


class Vault(Protocol):
    """Key Vault, without ever reading a value."""

    async def versions(self, name: str) -> list[SecretVersion]:
        """Newest first; empty when there is no such secret."""
        ...

    async def newest(self) -> list[SecretVersion]:
        """The newest version of every secret. Lists do not tell which one it is: `version` is empty."""
        ...

    async def set(self, name: str, value: SecretValue, content_type: str, tags: Mapping[str, str]) -> None:
        """A new version. Raises Busy with reason SecretIsDeleted when a soft-deleted secret has the name."""
        ...

    async def recover(self, name: str) -> None:
        """Bring a soft-deleted secret back; it takes the vault some seconds."""
        ...

    async def deleted_tags(self, name: str) -> Mapping[str, str] | None:
        """The tags of the soft-deleted secret that holds the name, in whatever case; None when the vault
        lists none (yet).
        """
        ...

    async def update(self, version: SecretVersion, enabled: bool, tags: Mapping[str, str]) -> None: ...
    async def delete(self, name: str) -> None: ...


class Roles(Protocol):
    """The assignments of one role on the secrets of a vault, or on the projects of an account: they say which
    groups may read a team's secrets, or use its project. Names are told in lower case.
    """

    async def granted(self, group: str) -> frozenset[str]:
        """The secrets (projects) on which the Entra group has the role."""
        ...

    async def readers(self) -> Mapping[str, frozenset[RoleGrant]]:
        """The groups that have the role, by secret (project)."""
        ...

    async def readers_of(self, name: str) -> frozenset[RoleGrant]:
        """The same of one, which need not exist (any more)."""
        ...

    async def grant(self, name: str, group: str) -> None: ...
    async def revoke(self, name: str, group: str) -> None: ...


class Projects(Protocol):
    """The Foundry account in which projects are made. Its operations take their time: methods begin them,
    `Project.state` tells.

    While one is under way, another on the same account raises Busy.
    """

    async def project(self, name: str) -> Project | None: ...
    async def projects(self) -> list[Project]: ...
    async def create_project(self, name: str, display_name: str, marker: Marker) -> None:
        """Starts to create it; for an existing project, to create it once more."""
        ...

    async def update_project(self, name: str, display_name: str, marker: Marker) -> None: ...
    async def delete_project(self, name: str) -> None: ...
    async def connection(self, project: str) -> TracingConnection | None:
        """Where the project's traces go; None when there is no such connection, or no such project."""
        ...

    async def tracing_key(self) -> SecretValue:
        """The connection string of the platform's Application Insights, with which a project sends its
        traces.
        """
        ...

    async def put_connection(self, project: str, target: str, key: SecretValue) -> None: ...
    async def delete_connection(self, project: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Status:
    """A commit status. `state` is GitHub's word: pending, success, failure or error. `reason` is the word in
    docs/errors.md that explains it, empty for none.
    """

    commit: str
    context: str
    state: str
    description: str
    reason: str = ""


class Reports(Protocol):
    """The check runs and commit statuses at GitHub. No decision depends on them, so these methods never
    raise.
    """

    async def check_run(
        self, commit: str, problems: Sequence[Problem], summary: str, lines: Sequence[str] = ()
    ) -> None:
        """One check run for the push, with an annotation per problem; `lines` say what it means for teams."""
        ...

    async def statuses(self, statuses: Iterable[Status]) -> None:
        """Commit statuses, paced; a newer one for the same context replaces one that still waits."""
        ...


class Deliveries(Protocol):
    """The webhook deliveries of our App, newest first; of a very large number only the newest. A second
    request to redeliver the same one is ignored.
    """

    async def since(self, moment: datetime, only_failed: bool) -> list[Delivery]: ...
    async def redeliver(self, delivery: int) -> None: ...
