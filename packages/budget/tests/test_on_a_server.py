"""The server takes every option as the plan has it: nothing rounded, lowered or unknown."""

from collections.abc import Callable

import pytest

from budget.plan import Budget, plan
from localserver.server import Server

MIB = 1024 * 1024


@pytest.mark.server
@pytest.mark.parametrize(
    "budget",
    [
        Budget(),
        Budget(max_connections=400, memory_mb=5000),
        Budget(max_connections=10, reserved=1, memory_mb=600),
    ],
    ids=lambda budget: f"max_connections={budget.max_connections}",
)
def test_a_server_runs_with_exactly_these_options(
    new_server: Callable[..., Server], budget: Budget
) -> None:
    p = plan(budget)
    server = new_server(**p.server_options())
    asked = dict(p.server_options())
    asked["innodb_buffer_pool_size"] = str(p.innodb_buffer_pool_mb * MIB)
    files = int(asked.pop("open_files_limit"))
    names = list(asked)
    (row,) = server.sql("SELECT " + ", ".join(f"@@global.{name}" for name in names))
    assert dict(zip(names, row, strict=True)) == asked
    # It takes more where the system gives more, never less.
    ((effective,),) = server.sql("SELECT @@global.open_files_limit")
    assert int(effective) >= files
    assert not [line for line in _log(server) if "Changed limits" in line]


def _log(server: Server) -> list[str]:
    return server.log.read_text(errors="replace").splitlines()
