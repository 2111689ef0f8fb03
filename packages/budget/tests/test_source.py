"""Reading budget.toml and the environment: what is refused, with which words, and what wins."""

import os
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from budget.fields import Consumer
from budget.plan import Budget, BudgetError
from budget.source import consumers_text, load


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A budget.toml to be filled by the test."""
    return tmp_path / "budget.toml"


def refused(path: Path | None, environ: dict[str, str] | None = None) -> list[str]:
    """The problems as text."""
    with pytest.raises(BudgetError) as caught:
        load(path, environ or {})
    return [str(problem) for problem in caught.value.problems]


def test_the_last_source_wins(file: Path) -> None:
    file.write_text("[application]\nworkers = 3\nhosts = 3\nthreads = 3\n")
    budget = load(file, {"BUDGET_HOSTS": "4", "BUDGET_THREADS": "4"}, threads=5, workers=None)
    assert (budget.workers, budget.hosts, budget.threads) == (3, 4, 5)


def test_consumers_are_read_in_the_order_of_the_file(file: Path) -> None:
    file.write_text("[consumers.mail]\n[consumers.celery]\nprocesses = 4\nmachines = 2\n")
    assert load(file, {}).consumers == (
        Consumer(name="mail"),
        Consumer(name="celery", processes=4, machines=2),
    )


def test_consumers_in_the_environment_take_the_place_of_those_in_the_file(file: Path) -> None:
    file.write_text("[consumers.mail]\n")
    budget = Budget(consumers=(Consumer(name="celery", processes=4, machines=2),))
    text = consumers_text(budget)
    assert text == '{"celery": {"processes": 4, "connections": 1, "machines": 2}}'
    assert load(file, {"BUDGET_CONSUMERS": text}) == budget
    assert load(file, {"BUDGET_CONSUMERS": "{}"}) == Budget()


@pytest.mark.parametrize("text", ["", "celery", "[]", "()"])
def test_consumers_in_the_environment_that_are_no_json_object_are_refused(text: str) -> None:
    (problem,) = refused(None, {"BUDGET_CONSUMERS": text})
    assert problem.startswith("B006 (environment): BUDGET_CONSUMERS is no JSON object. Write ")


def test_the_sharing_is_taken_from_the_environment_too() -> None:
    assert load(None, {"BUDGET_SHARING": "host"}).sharing == "host"


def test_a_key_that_is_left_out_has_its_default(file: Path) -> None:
    file.write_text("")
    assert load(file, {}) == load(None, {}) == Budget()


def test_the_environment_of_the_process_counts_unless_another_is_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BUDGET_WORKERS", "5")
    assert load(None).workers == 5
    assert load(None, {}).workers == 2


def test_web_concurrency_means_workers_unless_the_budgets_own_name_is_set() -> None:
    assert load(None, {"WEB_CONCURRENCY": "4"}).workers == 4
    assert load(None, {"WEB_CONCURRENCY": "4", "BUDGET_WORKERS": "3"}).workers == 3
    (problem,) = refused(None, {"WEB_CONCURRENCY": "many"})
    assert problem.startswith("B003 workers = 'many' (WEB_CONCURRENCY): ")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "[sever]\n",
            "B002 (budget.toml, line 1): 'sever' is no table of the budget. Perhaps it is",
        ),
        (
            "hosts = 3\n",
            "B002 (budget.toml, line 1): 'hosts' is no table of the budget. Move it to",
        ),
        ("server = 3\n", "B002 (budget.toml, line 1): [server] is a table, not a value."),
        (
            "\n[server]\nmax_conections = 5\n",
            "B002 (budget.toml, line 3): 'max_conections' is no key of [server]. "
            "Perhaps it is max_connections.",
        ),
        (
            "[server]\nworkers = 5\n",
            "B002 (budget.toml, line 2): 'workers' is no key of [server]. Move it to [application]",
        ),
        (
            '[server]\n"e\\u001b[31mvil" = 1\n',
            "B002 (budget.toml): 'e\\x1b[31mvil' is no key of [server]. Known: ",
        ),
        (
            "[consumers]\ncelery = 4\n",
            "B006 (budget.toml, line 2): [consumers] has tables only, and 'celery' is a value. "
            "Write [consumers.NAME]",
        ),
        (
            "consumers = 4\n",
            "B002 (budget.toml, line 1): [consumers] is a table, not a value.",
        ),
        (
            "[server]\n[consumers.web]\n",
            "B006 (budget.toml, line 2): 'web' is no name of a consumer. Use a to z",
        ),
        (
            "[consumers.celery]\nproceses = 4\n",
            "B006 (budget.toml, line 2): 'proceses' is no key of [consumers.celery]. "
            "Perhaps it is processes.",
        ),
        (
            "[consumers.celery]\nprocesses = 2\n[consumers.mail]\nprocesses = 0\n",
            "B006 (budget.toml, line 4): processes of [consumers.mail] is 0; it has to be a whole "
            "number from 1 to 1000.",
        ),
        (
            '[application]\nsharing = "machine"\n',
            "B007 sharing = 'machine' (budget.toml, line 2): must be one of process, host.",
        ),
        (
            "[consumer.celery]\n",
            "B002 (budget.toml, line 1): 'consumer' is no table of the budget. "
            "Perhaps it is consumers.",
        ),
        ("[server]\nwait_timeout = true\n", "B003 wait_timeout = True (budget.toml, line 2): must"),
        ("[server]\nwait_timeout = 6e2\n", "B003 wait_timeout = 600.0 (budget.toml, line 2): must"),
        ("[server]\nwait_timeout = '600'\n", "B003 wait_timeout = '600' (budget.toml, line 2): "),
        ("[server]\nreserved = -1\n", "B003 reserved = -1 (budget.toml, line 2): must"),
        ("[server]\nwait_timeout = {a = 1}\n", "B003 wait_timeout = {'a': 1} (budget.toml, line 2"),
        (
            "[server]\nwait_timeout = 1\nwait_timeout = 2\n",
            "B001 ({path}): the budget is not valid",
        ),
        ("[server\n", "B001 ({path}): the budget is not valid TOML: "),
        ("x = " + "[" * 5000, "B001 ({path}): the budget is not valid TOML: "),
        ("x = " + "9" * 5000, "B001 ({path}): the budget is not valid TOML: "),
        ("#" * 65536 + "\n", "B001 ({path}): the budget is larger than 65536 bytes."),
    ],
)
def test_a_wrong_file_is_refused_with_its_place(file: Path, text: str, problem: str) -> None:
    file.write_text(text)
    (found,) = refused(file)
    assert found.startswith(problem.format(path=file) if "{path}" in problem else problem)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    assert "No such file" in refused(tmp_path / "none.toml")[0]
    assert "Is a directory" in refused(tmp_path)[0]
    (tmp_path / "latin.toml").write_bytes(b"[server]\n# caf\xe9\n")
    assert "is not UTF-8 (at line 2)" in refused(tmp_path / "latin.toml")[0]
    assert "null byte" in refused(Path("bud\0get"))[0]


@pytest.mark.parametrize(
    "value", ["1e3", "-1", " 5", "5 ", "", "٣", "+5", "0x10", "1_0", "007", "5.0", "None", "²"]
)
def test_only_ascii_digits_count_as_a_number_in_the_environment(value: str) -> None:
    (problem,) = refused(None, {"BUDGET_WORKERS": value})
    assert problem.startswith("B003 workers = ")
    assert "(BUDGET_WORKERS)" in problem


@pytest.mark.parametrize("name", ["BUDGET_WORKER", "BUDGET_", "BUDGET_HOST", "BUDGET_SERVER_HOSTS"])
def test_an_unknown_name_in_the_environment_is_refused(name: str) -> None:
    (problem,) = refused(None, {name: "1"})
    assert problem.startswith(f"B004 (environment): '{name}' is no variable of the budget.")


def test_the_files_own_variable_is_known() -> None:
    assert load(None, {"BUDGET_FILE": "elsewhere.toml"}) == Budget()


def test_all_problems_come_at_once_with_where_each_value_is_from(file: Path) -> None:
    file.write_text("[server]\nmax_connections = 20\nspeed = 1\n[timeouts]\nstop_timeout = 'x'\n")
    problems = refused(file, {"BUDGET_WORKERS": "8", "BUDGET_HOST": "2"})
    assert [problem.split(":")[0] for problem in problems] == [
        "B002 (budget.toml, line 3)",
        "B004 (environment)",
        "B003 stop_timeout = 'x' (budget.toml, line 5)",
        "B020 max_connections = 20 (budget.toml, line 2)",
    ]


def test_an_override_that_is_no_field_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(TypeError, match="no field 'wokers'"):
        load(None, {}, wokers=3)


@given(st.binary(max_size=200))
def test_no_file_whatever_raises_anything_else(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / f"any-{os.getpid()}.toml"
    path.write_bytes(content)
    with suppress(BudgetError):
        load(path, {})


@given(st.dictionaries(st.sampled_from(["BUDGET_HOSTS", "WEB_CONCURRENCY", "BUDGET_X"]), st.text()))
def test_no_environment_whatever_raises_anything_else(environ: dict[str, str]) -> None:
    with suppress(BudgetError):
        load(None, environ)
