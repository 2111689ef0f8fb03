"""Prints one table of all limits, planned and running, and fails where they differ.

The roles' `measure` tasks leave a fact `<role>_measured` on each host, with `planned` and `running`
(both name -> value) and `at_least` (names for which more is right too).
"""

from ansible.errors import AnsibleActionFail
from ansible.utils.display import Display
from ansible_collections.django_budget.deploy.plugins.modules.server_variables import agrees

from ansible.plugins.action import ActionBase

MEASURED = ("database", "application", "nginx")
HEADINGS = ("host", "what", "limit", "planned", "running")


class ActionModule(ActionBase):
    """`verify:` takes nothing; returns the rows that differ."""

    TRANSFERS_FILES = False
    _VALID_ARGS = frozenset()

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        rows = list(compare(task_vars["groups"], task_vars["hostvars"]))
        Display().display(table(rows))
        wrong = [row for row in rows if not row[-1]]
        result.update(
            changed=False, compared=len(rows), different=[list(row[:-1]) for row in wrong]
        )
        if wrong:
            lines = [f"{len(wrong)} of {len(rows)} limits are not what the budget says:"]
            lines += [
                f"{host}, {what}: {name} is {running}, planned is {planned}"
                for host, what, name, planned, running, _ in wrong
            ]
            raise AnsibleActionFail("\n".join(lines), result=result)
        return result


def compare(groups, hostvars):
    """(host, what, limit, planned, running, whether they agree) for all that was measured."""
    for group in MEASURED:
        for host in groups.get(group, []):
            measured = hostvars[host].get(f"{group}_measured")
            if measured is None:
                yield host, group, "measured", "yes", "no", False
                continue
            running = measured["running"]
            for name, planned in measured["planned"].items():
                found = running.get(name)
                good = agrees(name, planned, found, measured["at_least"])
                yield host, group, name, planned, "nothing" if found is None else found, good


def table(rows):
    """The rows as lines of text, with a mark at those that differ."""
    cells = [HEADINGS, *(tuple(str(cell) for cell in row[:-1]) for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(HEADINGS))]
    marks = ["", *("" if row[-1] else "  <- differs" for row in rows)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        + mark
        for row, mark in zip(cells, marks, strict=True)
    )
