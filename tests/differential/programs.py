"""Random programs, and how they read. A program is a list of steps, and a step is a JSON list.

The first word of a step says what it does (`execute.py` does it); an inner list of steps is its
block. A database error is caught at its step, unless the word ends in "!": then it leaves the block
around it. So what stands in a program is all there is to know about it.
"""

import json
from collections.abc import Iterator

from hypothesis import strategies as st

from .statements import INSERT, STATEMENTS

Step = list
#: Where a step keeps the list of its inner steps, for those that have one.
BLOCKS = {"atomic": 2, "pinned": 1, "other": 1, "row_locked": 1, "global": 3, "on_commit": 2}
BLOCKS["timeout_in_commit"] = 1
#: Python's type for it is not JSON: `execute.value` makes it.
UNWRITABLE = {"object": 1}

statement = st.one_of(*(st.sampled_from(group) for group in STATEMENTS.values()))
common = st.one_of(
    *(st.sampled_from(STATEMENTS[kind]) for kind in ("write", "read", "definition", "transaction"))
)


def step(*parts: object) -> st.SearchStrategy[Step]:
    """A step made of strategies and of fixed parts."""
    return st.tuples(*(p if isinstance(p, st.SearchStrategy) else st.just(p) for p in parts)).map(
        list
    )


sql = st.one_of(step("sql", common), step("sql", statement), step("sql", statement))
driver = st.sampled_from(
    [
        ["driver", "insert_id"],
        ["driver", "set_character_set", "latin1"],
        ["driver", "escape", "a'b"],
        ["driver", "get_autocommit"],
        ["driver", "nonexistent"],
        ["copy", "SET @v = 1"],
    ]
)
arguments = st.sampled_from(
    [
        ["sql", "INSERT INTO item (value) VALUES (%s)", [3]],
        ["sql", "INSERT INTO item (value) VALUES (%s)", []],
        ["sql", "INSERT INTO named VALUES (%s, %s)", [1]],
        ["sql", "INSERT INTO item (value) VALUES (%s)", [UNWRITABLE]],
        ["sql", "SELECT %s, %s", ["ä'\\", None]],
        ["sql", "SELECT '%s'"],
        ["sql", "SELECT 'a' LIKE '%%', %s", [1, 2]],
        ["sql", ""],
        ["many", "INSERT INTO item (value) VALUES (%s)", []],
        ["many", "INSERT INTO item (value) VALUES (%s)", [[1], [2]]],
        ["many", "INSERT INTO named VALUES (%s, %s)", [[8, "a"], [1, "b"]]],
        ["many", "UPDATE item SET value = %s WHERE id = %s", [[8, 1], [9, 2]]],
        ["many", "INSERT INTO item (value) VALUES (%s)", [[1], [UNWRITABLE]]],
        ["many", "UPDATE item SET value = %s WHERE id = %s", [[8, 1], [UNWRITABLE, 2]]],
        ["callproc", "p_select"],
        ["callproc", "p_set"],
        ["stream", "SELECT id, value FROM item ORDER BY id"],
        ["stream", "SELECT nothing"],
        ["kept", "SELECT id FROM item ORDER BY id"],
        ["kept", INSERT],
        ["sets", "CALL p_select()"],
        ["sets", "CALL p_select_commit()"],
    ]
)
control = st.sampled_from(
    [
        ["autocommit", False],
        ["autocommit", True],
        ["commit"],
        ["rollback"],
        ["savepoint"],
        ["savepoint_rollback"],
        ["savepoint_commit"],
        ["set_rollback", True],
        ["set_rollback", False],
        ["close"],
        ["ensure"],
        ["usable"],
    ]
)
leaf = st.one_of(
    sql, sql, sql, arguments, control, step("on_commit", st.integers(1, 9), st.just([])), driver
)
escaping = st.one_of(st.just(["raise!"]), step("sql!", st.sampled_from(STATEMENTS["fails"])))
stranger = step(
    "other",
    st.lists(
        st.sampled_from(
            [
                ["sql", "INSERT INTO strange (value) VALUES (1)"],
                ["sql", "SELECT 1/0"],
                ["sql", "INSERT INTO sequenced (who) VALUES ('other')"],
                ["sql", "UPDATE strange SET value = 2"],
            ]
        ),
        min_size=1,
        max_size=2,
    ),
)
rude = st.sampled_from([["kill", "QUERY"], ["kill", "CONNECTION"], ["deadlock"]])
options = st.fixed_dictionaries(
    {}, optional={"durable": st.just(True), "savepoint": st.just(False)}
)


def steps(depth: int, most: int) -> st.SearchStrategy[list[Step]]:
    """Steps inside a block, with blocks in them ``depth`` deep."""
    choices = [leaf, leaf, leaf, leaf, leaf, escaping, stranger, rude]
    if depth:
        choices += [block(depth - 1), block(depth - 1)]
    return st.lists(st.one_of(*choices), max_size=most)


def block(depth: int) -> st.SearchStrategy[Step]:
    """A step that has steps in it."""
    inner = steps(depth, 4)
    atomic = step(st.sampled_from(["atomic", "atomic", "atomic!"]), options, inner)
    by_hand = inner.map(lambda some: [["autocommit", False], *some, ["rollback"]])
    locked = st.lists(st.one_of(sql, st.just(["sql", LOCKED_UPDATE])), max_size=3)
    return st.one_of(
        *[atomic] * 6,
        *[step("pinned", inner)] * 2,
        *[step("on_commit", st.integers(1, 9), st.lists(sql, max_size=2))] * 2,
        *[step("atomic", options, by_hand)] * 2,
        step("row_locked", locked),  # seldom: each of its waits costs a second
    )


LOCKED_UPDATE = "UPDATE item SET value = 99 WHERE id = 3"
end = st.just(["end"])
killed_while = st.sampled_from(
    [
        ["killed_while", "INSERT INTO item (value) SELECT SLEEP(5) FROM named"],
        ["killed_while", "SELECT SLEEP(5) FROM named"],
    ]
)
top = st.one_of(leaf, leaf, leaf, leaf, end, stranger, block(2), block(2), block(2), killed_while)
programs = st.lists(top, min_size=1, max_size=7)


def smaller(program: list[Step]) -> Iterator[list[Step]]:
    """The same program with less in it, the boldest tries first."""
    for size in (len(program) // 2, 1):
        if size:
            for at in range(0, len(program), size):
                yield program[:at] + program[at + size :]
        if size == 1:
            break
    for at, one in enumerate(program):
        within = inner(one)
        if within is None:
            continue
        yield program[:at] + within + program[at + 1 :]
        place = BLOCKS[one[0].rstrip("!")]
        for less in smaller(within):
            yield [*program[:at], [*one[:place], less, *one[place + 1 :]], *program[at + 1 :]]


# -- how they read --------------------------------------------------------------------------------


def inner(one: Step) -> list[Step] | None:
    """The list of steps inside a step, or None."""
    place = BLOCKS.get(one[0].rstrip("!"))
    return one[place] if place is not None and len(one) > place else None


def render(program: list[Step], before: str = "") -> Iterator[str]:
    """The program as numbered lines; blocks are indented."""
    for number, one in enumerate(program, 1):
        at = f"{before}{number}"
        yield f"{at:<8}{'    ' * at.count('.')}{describe(one)}"
        yield from render(inner(one) or [], f"{at}.")


def step_at(program: list[Step], at: str) -> Step | None:
    """The step that `render` numbers so."""
    found: Step | None = None
    for number in at.split("."):
        if not number.isdigit() or int(number) > len(program):
            return None
        found = program[int(number) - 1]
        program = inner(found) or []
    return found


def describe(one: Step) -> str:
    """One step in the words of Django."""
    word, *rest = one
    escapes = "  # not caught inside of this block" if word.endswith("!") else ""
    word = word.rstrip("!")
    given = ", ".join(_short(part) for part in rest)
    if word in ("sql", "kept", "stream", "sets", "killed_while"):
        how = {
            "sql": "cursor.execute",
            "kept": "the_same_cursor.execute",
            "stream": "SSCursor, read to its end: execute",
            "sets": "every result set of cursor.execute",
            "killed_while": "KILL QUERY by an administrator during cursor.execute",
        }[word]
        return f"{how}({given}){escapes}"
    if word == "atomic":
        settings = ", ".join(f"{name}={value}" for name, value in rest[0].items())
        return f"with transaction.atomic({settings}):{escapes}"
    texts = {
        "many": f"cursor.executemany({given})",
        "callproc": f"cursor.callproc({given})",
        "autocommit": f"transaction.set_autocommit({given})",
        "on_commit": f"transaction.on_commit(callback {rest[0] if rest else ''}, which runs:)",
        "other": "another user, in a thread:",
        "pinned": "with mysql_pool.pinned():",
        "row_locked": "while another connection has the row 3 of item locked:",
        "global": f"while SET GLOBAL {rest[0] if rest else ''} = {rest[1] if rest[1:] else ''}:",
        "end": "# the end of the request",
        "close": "connection.close()",
        "kill": f"an administrator's KILL {rest[0] if rest else ''} of this connection",
        "deadlock": "# a deadlock with another connection, on rows 1 and 2 of item",
        "raise": "raise Boom",
        "copy": f"connection.copy().cursor().execute({given})",
        "timeout_in_commit": "with gevent.Timeout(0.5), atomic(), which waits in COMMIT:",
        "usable": "connection.is_usable()",
        "ensure": "connection.ensure_connection()",
    }
    if word == "driver":
        return f"connection.connection.{rest[0]}({', '.join(map(repr, rest[1:]))})"
    return texts.get(word, f"transaction.{word}({given})") + escapes


def _short(part: object) -> str:
    text = repr(part) if isinstance(part, str | bool) else json.dumps(part, ensure_ascii=False)
    return text if len(text) < 200 else f"{text[:190]} …"
