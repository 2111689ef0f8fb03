"""Load from `hey`, a program of its own: what the clients saw, not what the site says of itself."""

import re
import subprocess
from collections import Counter
from dataclasses import dataclass, field

from demo.project import DemoError


@dataclass
class Outcome:
    """What the clients of one run saw."""

    name: str
    clients: int
    seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    median: float = 0.0
    p99: float = 0.0
    slowest: float = 0.0

    @property
    def requests(self) -> int:
        return sum(self.statuses.values()) + sum(self.errors.values())

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds if self.seconds else 0.0

    @property
    def refused(self) -> int:
        """Answers of a full pool."""
        return self.statuses[503]

    @property
    def failed(self) -> int:
        """Everything else that is no success."""
        wrong = sum(n for status, n in self.statuses.items() if status >= 400 and status != 503)
        return wrong + sum(self.errors.values())


class Run:
    """One `hey` that sends requests to one address, started at once."""

    def __init__(
        self,
        name: str,
        url: str,
        *,
        clients: int,
        requests: int | None = None,
        seconds: float | None = None,
        body: str | None = None,
    ) -> None:
        self.outcome = Outcome(name, clients)
        post = ("-m", "POST", "-T", "application/json", "-d", body) if body else ()
        amount = ("-z", f"{seconds}s") if seconds else ("-n", str(requests))
        self._hey = subprocess.Popen(
            # 60 s: a request that hangs is to be seen as such, not to be cut off by the client.
            ["hey", "-c", str(clients), *amount, "-t", "60", *post, url],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    @property
    def running(self) -> bool:
        return self._hey.poll() is None

    def result(self) -> Outcome:
        """Wait for it to end."""
        text = self._hey.communicate()[0]
        if self._hey.returncode:
            raise DemoError(f"hey failed: {text.strip()}")
        read(text, self.outcome)
        return self.outcome

    def stop(self) -> None:
        if self.running:
            self._hey.kill()
            self._hey.wait()


def read(text: str, outcome: Outcome) -> None:
    """Read `hey`'s report into ``outcome``."""

    def number(pattern: str) -> float:
        found = re.search(pattern, text)
        return float(found[1]) if found else 0.0

    outcome.seconds = number(r"Total:\s+([\d.]+) secs")
    outcome.slowest = number(r"Slowest:\s+([\d.]+) secs")
    outcome.median = number(r"50% in ([\d.]+) secs")
    outcome.p99 = number(r"99% in ([\d.]+) secs") or outcome.slowest
    for status, count in re.findall(r"\[(\d{3})\]\s+(\d+) responses", text):
        outcome.statuses[int(status)] += int(count)
    for count, error in re.findall(r"^\s+\[(\d+)\]\s+(?!\d+ responses)(\S.*)$", text, re.MULTILINE):
        outcome.errors[error] += int(count)
