"""How much a vault does in ten seconds:
https://learn.microsoft.com/azure/key-vault/general/service-limits#secrets-transactions
"""

from __future__ import annotations

from standins.clock import Clock
from standins.key_vault.errors import throttled
from standins.world import Options

_CREATION = "PUT secret"


class Throttle:
    """Counts transactions, and creations of secrets, which have a lower limit of their own, in windows on the
    clock.
    """

    def __init__(self, clock: Clock, options: Options) -> None:
        self._clock = clock
        self._options = options
        self._began = 0.0
        self._transactions = 0
        self._creations = 0

    def count(self, kind: str) -> None:
        """Raises 429 when this transaction is one too many."""
        if not self._options["throttle"]:
            return
        if self._clock.now() - self._began >= self._options["window_seconds"]:
            self._began, self._transactions, self._creations = self._clock.now(), 0, 0
        creation = kind == _CREATION
        self._transactions += 1
        self._creations += creation
        if self._transactions > self._options["transactions"] or (
            creation and self._creations > self._options["creations"]
        ):
            raise throttled()
