"""The specs of a pool: one for each set of parameters, so that connections can be told apart."""

from collections.abc import Callable
from typing import Any

from .holder import Spec
from .inventory import Inventory

# So many specs are remembered without a connection: one for each tenant, say.
KNOWN_SPECS = 256

Key = dict[str, Any]


class Specs:
    """Finds the spec of a set of parameters."""

    def __init__(self, inventory: Inventory):
        self._inventory = inventory
        self._known: list[tuple[Key, Spec]] = []
        self._last: tuple[Key, Spec] | None = None  # which is nearly always the next one, too

    def __len__(self) -> int:
        return len(self._known)

    def find(self, key: Key, make: Callable[[], Spec]) -> Spec:
        """The spec with this ``key``; ``make()`` builds it if there is none. Specs without a
        connection are forgotten when there are `KNOWN_SPECS`."""
        last = self._last
        if last is not None and last[0] == key:
            return last[1]
        inventory = self._inventory
        with inventory.lock:
            found = next((one for one in self._known if one[0] == key), None)
            if found is None:
                if len(self._known) >= KNOWN_SPECS:
                    used = {slot.spec for slot in inventory.slots} | set(inventory.waiters.values())
                    self._known = [one for one in self._known if one[1] in used]
                found = (key, make())
                self._known.append(found)
            self._last = found
        return found[1]
