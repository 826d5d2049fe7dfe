"""The stages in travel order, and where each one's messages wait. One row is one trigger in `functions/`."""

from __future__ import annotations

from dataclasses import dataclass

from shared.messaging.messages import AccessChange, DeliverKeys, Message, Sweep

TOPIC = "access-changes"
DEAD_LETTERS = "dead-letters"


@dataclass(frozen=True, slots=True)
class Stage:
    """`name` as Service Bus knows it, `entity` where its messages are sent, `to` what addresses it alone on
    the topic.
    """

    name: str
    entity: str
    to: str | None
    message: type[Message]

    @property
    def label(self) -> str:
        """For people: `Provision gateway`."""
        return self.name.replace("-", " ").capitalize()

    @property
    def short(self) -> str:
        """The last word, as in the commit status `mergekey/alpha/keys`."""
        return self.name.rsplit("-", 1)[-1]


SWEEP = Stage("sweeps", "sweeps", None, Sweep)
PROVISION_CATALOG = Stage("provision-catalog", TOPIC, "provision-catalog", AccessChange)
PROVISION_GATEWAY = Stage("provision-gateway", TOPIC, "provision-gateway", AccessChange)
PROVISION_WORKSPACES = Stage("provision-workspaces", TOPIC, "provision-workspaces", AccessChange)
PROVISION_PROJECTS = Stage("provision-projects", TOPIC, "provision-projects", AccessChange)
DELIVER_KEYS = Stage("deliver-keys", "deliver-keys", None, DeliverKeys)

STAGES = (SWEEP, PROVISION_CATALOG, PROVISION_GATEWAY, PROVISION_WORKSPACES, PROVISION_PROJECTS, DELIVER_KEYS)

#: As people call them: by their name, or by the last word of it, which stands in commit statuses.
BY_WORD = {word: stage for stage in STAGES for word in (stage.name, stage.short)}
