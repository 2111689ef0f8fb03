"""The whole host, as anybody may see it who may read its ledger."""

from dataclasses import dataclass

from .file import LedgerFile
from .record import Record


@dataclass(frozen=True, slots=True)
class Host:
    """All pools of a host."""

    living: list[Record]
    """Of processes that run."""
    ended: list[Record]
    """Sums of those that have ended, one for each role and alias; counters only."""


def read_host(path: str) -> Host:
    """What the ledger at ``path`` tells. Raises `Unusable` if there is none that can be read."""
    file = LedgerFile(path, create=False)
    try:
        before = file.read_totals()
        found = file.read_records()
        while (totals := file.read_totals()) != before:
            # A record was added up meanwhile: it would count twice.
            before, found = totals, file.read_records()
        living = [record for record, lives in found.values() if lives]
        ended = {(total.role, total.alias): total for total in totals}
        for record, lives in found.values():
            if not lives:
                key = record.role, record.alias
                ended[key] = record.added_to(ended.get(key))
        return Host(living, list(ended.values()))
    finally:
        file.close()
