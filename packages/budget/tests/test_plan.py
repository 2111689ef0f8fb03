"""What an accepted budget guarantees, and what a refused one says, over the whole input space."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, event, example, given, settings
from hypothesis import strategies as st

from budget.check import check
from budget.fields import CHOICES, FIELDS, WORKER_CLASSES, Consumer, high, low
from budget.plan import Budget, BudgetError, Plan, plan
from budget.rules.ages import longest_age, smallest_wait_timeout
from budget.rules.connections import for_guaranteed_mode
from budget.rules.server import buffer_pool_room

NUMBERS = [name for name in FIELDS if name not in CHOICES]

# Everyday values are rare in the full ranges, where nearly every budget is refused.
SMALL = {
    "max_connections": 500,
    "reserved": 30,
    "wait_timeout": 900,
    "memory_mb": 8192,
    "hosts": 8,
    "reloading_hosts": 4,
    "workers": 8,
    "worker_connections": 200,
    "threads": 32,
    "app_memory_mb": 8192,
    "database_aliases": 3,
    "extra_hosts": 2,
    "conn_max_age": 300,
    "pool_timeout": 20,
    "request_deadline": 60,
    "graceful_timeout": 120,
    "proxy_read_timeout": 120,
    "stop_timeout": 240,
}


def _values(name: str, *, beyond: int) -> st.SearchStrategy[int]:
    small = st.integers(low(name) - beyond, SMALL[name])
    return small | st.integers(low(name) - beyond, high(name) + beyond)


def _number(everyday: int, low: int) -> st.SearchStrategy[int]:
    return st.integers(low, everyday) | st.integers(low, 1000)


consumers = st.lists(
    st.builds(
        Consumer,
        name=st.sampled_from(["celery", "cron", "mail"]),
        processes=_number(4, 1),
        connections=_number(3, 1),
        machines=_number(2, 0),
    ),
    max_size=3,
    unique_by=lambda consumer: consumer.name,
).map(tuple)


def budgets(beyond: int = 0) -> st.SearchStrategy[Budget]:
    """Any budget; with `beyond`, also with values that far out of their ranges."""
    numbers = {name: _values(name, beyond=beyond) for name in NUMBERS}
    choices = {name: st.sampled_from(words) for name, words in CHOICES.items()}
    return st.builds(Budget, consumers=consumers, **choices, **numbers)


def everyday_plans() -> st.SearchStrategy[Plan]:
    """Plans of budgets that fit: refused ones are mended with their own changes."""
    return budgets().map(_mended).map(plan)


def _mended(budget: Budget, *, without: int | None = None) -> Budget:
    for index, problem in enumerate(check(budget)):
        if index != without:
            budget = replace(budget, **problem.change)
    return budget


def open_connections(p: Plan) -> int:
    """Count as the servers would: every worker of every host, old and new where hosts reload."""
    b = p.budget
    of_consumers = {
        each.name: each.processes * each.connections * b.database_aliases for each in b.consumers
    }
    on_a_host = sum(of_consumers[each.name] for each in b.consumers if each.machines == 0)
    total = sum(each.machines * of_consumers[each.name] for each in b.consumers)
    for host in range(b.hosts + b.extra_hosts):
        if b.sharing == "host":
            total += p.host_connections
            continue
        generations = 2 if host < b.reloading_hosts else 1
        total += generations * b.workers * b.database_aliases * p.pool_size + on_a_host
    return total


@given(everyday_plans())
@settings(max_examples=300)
def test_the_peak_never_passes_max_connections_less_the_reserve(p: Plan) -> None:
    event(f"{p.mode}, {p.budget.worker_class}, {p.budget.sharing}, {len(p.budget.consumers)}")
    assert open_connections(p) == p.peak_connections
    assert p.steady_connections <= p.peak_connections
    assert p.peak_connections + p.budget.reserved <= p.budget.max_connections
    assert p.headroom == p.budget.max_connections - p.budget.reserved - p.peak_connections


@given(everyday_plans())
def test_the_pool_is_as_large_as_it_can_be(p: Plan) -> None:
    b = p.budget
    assert 1 <= p.pool_size <= p.pool_most <= p.concurrency
    if b.sharing == "host":
        one_more_for_each_host = b.hosts + b.extra_hosts
        left = p.host_connections - p.promised_on_host
        assert p.headroom < one_more_for_each_host
        assert p.pool_most == p.concurrency or p.pool_most == left
    else:
        pools = (b.hosts + b.extra_hosts + b.reloading_hosts) * b.workers * b.database_aliases
        assert p.pool_size == p.concurrency or p.headroom < pools
        assert p.pool_size == p.pool_most == p.guaranteed
        assert (p.mode == "guaranteed") == (p.pool_size == p.concurrency)


@given(everyday_plans())
def test_a_host_that_is_shared_has_what_it_promises(p: Plan) -> None:
    b = replace(p.budget, sharing="host")
    assume(not check(b))
    p = plan(b)
    pools = b.workers * b.database_aliases
    left = p.host_connections - p.promised_on_host
    assert 1 <= p.guaranteed <= p.pool_size
    assert pools * p.guaranteed <= left
    # Old and new workers, none of which can use the ledger: where there are two for each pair.
    assert 2 * pools * p.pool_size <= max(left, 2 * pools)
    if p.guaranteed > 1:
        assert 2 * pools * p.guaranteed <= left / 5


@given(everyday_plans())
def test_the_guaranteed_mode_begins_where_the_plan_says(p: Plan) -> None:
    needed = for_guaranteed_mode(p.budget)
    assume(10 <= needed <= high("max_connections"))
    with_it, without = (replace(p.budget, max_connections=n) for n in (needed, needed - 1))
    modes = [plan(_without_b055(each)).mode for each in (with_it, without) if _fits(each)]
    assert modes in (["guaranteed", "shared"], ["guaranteed"])


def _without_b055(budget: Budget) -> Budget:
    return replace(budget, memory_mb=high("memory_mb"))


def _fits(budget: Budget) -> bool:
    return not check(_without_b055(budget))


@given(everyday_plans())
def test_the_servers_own_limit_admits_the_peak_and_keeps_the_reserve_free(p: Plan) -> None:
    assert p.peak_connections <= p.max_user_connections
    assert p.max_user_connections + p.reserve == p.budget.max_connections
    assert p.reserve >= p.budget.reserved


@given(everyday_plans())
def test_no_connection_outlives_or_idles_past_wait_timeout(p: Plan) -> None:
    assert p.conn_max_age <= longest_age(p.budget.wait_timeout) < p.budget.wait_timeout
    assert p.max_idle <= p.conn_max_age
    assert p.request_deadline < p.budget.wait_timeout


@given(everyday_plans())
def test_every_timeout_ends_before_the_one_around_it(p: Plan) -> None:
    assert 0 < p.pool_timeout < p.request_deadline < p.proxy_read_timeout
    assert p.request_deadline <= p.graceful_timeout < p.stop_timeout


@given(everyday_plans())
def test_hosts_left_can_be_added_and_one_more_cannot(p: Plan) -> None:
    assume(p.budget.hosts + p.hosts_left_smallest_pool < high("hosts"))

    def pool_with(more: int) -> int:
        budget = replace(p.budget, hosts=p.budget.hosts + more)
        # More memory, where the way out is a larger max_connections, is no reason of its own.
        refused = [problem.id for problem in check(budget) if problem.id != "B055"]
        assert refused in ([], ["B020"])
        return 0 if refused else plan(budget).pool_size

    assert pool_with(p.hosts_left) == p.pool_size
    assert pool_with(p.hosts_left + 1) < p.pool_size
    assert pool_with(p.hosts_left_smallest_pool) >= 1
    assert pool_with(p.hosts_left_smallest_pool + 1) == 0


@given(everyday_plans())
def test_the_server_never_lowers_max_connections_for_want_of_files(p: Plan) -> None:
    """The arithmetic of MySQL's mysqld.cc, done backwards: what it keeps with so many files."""
    m, tables = p.budget.max_connections, p.table_open_cache
    wanted = max(10 + m + tables * 2, m * 5)
    assert p.open_files_limit >= wanted
    assert min(m, p.open_files_limit - 10 - 400 * 2) == m


@given(everyday_plans())
def test_the_servers_memory_holds_every_connection_and_the_buffer_pool(p: Plan) -> None:
    used = 256 + 3 * p.budget.max_connections + p.innodb_buffer_pool_mb
    assert used <= p.budget.memory_mb * 0.8
    assert p.innodb_buffer_pool_mb >= 128
    assert p.innodb_buffer_pool_mb % 128 == 0
    assert buffer_pool_room(p.budget) - p.innodb_buffer_pool_mb < 1024


@given(everyday_plans())
def test_queues_and_files_of_a_host_hold_what_it_serves(p: Plan) -> None:
    b = p.budget
    assert p.somaxconn >= max(p.back_log, p.backlog)
    assert p.nginx_max_conns >= b.workers * p.concurrency
    assert p.nginx_keepalive < p.nginx_max_conns
    assert p.app_open_files > p.concurrency + p.pool_size * b.database_aliases
    assert p.nginx_worker_connections >= 2 * b.hosts * p.nginx_max_conns
    assert p.nginx_open_files >= 2 * p.nginx_worker_connections
    assert 1 <= p.batch_size <= max(1, b.reloading_hosts)


@given(everyday_plans())
def test_gunicorns_unit_has_room_for_old_and_new_workers_and_leaves_the_host_some(p: Plan) -> None:
    b = p.budget
    threads = {"gevent": 10, "gthread": b.threads, "sync": 0}[b.worker_class]
    old_and_new = 2 * b.workers * (1 + threads)
    assert p.app_tasks_max > 1 + old_and_new
    assert p.app_memory_max_mb <= 0.75 * b.app_memory_mb < p.app_memory_max_mb + 1
    assert p.app_memory_max_mb < p.app_memtotal_mb < b.app_memory_mb
    assert p.server_memtotal_mb < b.memory_mb


@given(budgets(beyond=2))
@settings(max_examples=400)
@example(Budget(hosts=1000, reloading_hosts=1000, workers=1000, database_aliases=16))
@example(Budget(max_connections=10, reserved=10_000, workers=1000))
@example(Budget(conn_max_age=31_536_000, wait_timeout=31_536_000))
@example(Budget(worker_class="gthread", threads=1000, worker_connections=1))
@example(Budget(consumers=(Consumer(name="celery", processes=1000, connections=1000),)))
@example(Budget(sharing="host", consumers=(Consumer(name="mail", connections=1000, machines=99),)))
@example(Budget(sharing="host", hosts=1000, extra_hosts=1000, workers=1000, database_aliases=16))
def test_the_changes_of_a_refused_budget_make_it_fit(budget: Budget) -> None:
    problems = check(budget)
    event(f"{len(problems)} problems")
    assert all(problem.change for problem in problems)
    assert check(_mended(budget)) == ()


@given(budgets(beyond=2))
@settings(max_examples=400)
def test_every_alternative_can_take_the_place_of_its_change(budget: Budget) -> None:
    for index, problem in enumerate(check(budget)):
        for alternative in problem.alternatives:
            others = _mended(budget, without=index)
            assert check(replace(others, **alternative)) == ()


@given(budgets(beyond=2))
@example(Budget(hosts=1000, workers=5000, max_connections=50))
def test_problems_name_each_field_once_and_agree_on_its_new_value(budget: Budget) -> None:
    problems = check(budget)
    names = [problem.field for problem in problems]
    assert len(names) == len(set(names))
    values: dict[str, Any] = {}
    for problem in problems:
        assert all(values.setdefault(*each) == each[1] for each in problem.change.items())
        assert problem.value == getattr(budget, problem.field)
        for name, value in problem.change.items():
            text = "no [consumers]" if name == "consumers" else f"{name} = {value}"
            assert text in problem.fix


@given(st.integers(1, 31_000_000))
def test_the_smallest_wait_timeout_is_the_smallest(age: int) -> None:
    found = smallest_wait_timeout(age)
    assert longest_age(found) >= age
    assert longest_age(found - 1) < age


def test_the_smallest_max_connections_and_the_largest_worker_count_are_named() -> None:
    with pytest.raises(BudgetError) as caught:
        plan(Budget(hosts=6, reloading_hosts=1, workers=8, max_connections=60))
    (problem,) = caught.value.problems
    assert problem.change == {"max_connections": 7 * 8 + 11}
    assert problem.alternatives == ({"workers": (60 - 11) // 7},)
    assert not check(Budget(hosts=6, workers=8, max_connections=67))
    assert check(Budget(hosts=6, workers=8, max_connections=66))
    assert not check(Budget(hosts=6, workers=7, max_connections=60))


def test_one_worker_is_a_way_out_too() -> None:
    (problem,) = check(Budget(hosts=6, workers=2, max_connections=18))
    assert problem.alternatives == ({"workers": 1},)


@pytest.mark.parametrize(
    ("sharing", "needed"),
    # 2 x 5 + 3 promised, and 8 for each of 2 hosts, in "process" also of 1 that reloads.
    [("host", 11 + 13 + 2 * 8), ("process", 11 + 13 + 3 * 8)],
)
def test_consumers_count_where_connections_are_short(sharing: str, needed: int) -> None:
    consumers = (
        Consumer(name="celery", processes=5),
        Consumer(name="mail", processes=3, machines=1),
    )
    short = Budget(
        hosts=2, workers=8, sharing=sharing, consumers=consumers, max_connections=needed - 1
    )
    (problem,) = check(short)
    assert "promised to consumers 13" in problem.rule
    assert problem.change == {"max_connections": needed}
    (alternative,) = problem.alternatives
    assert not check(replace(short, **alternative))
    assert check(replace(short, workers=alternative["workers"] + 1))
    assert not check(replace(short, max_connections=needed))


def test_consumers_that_no_server_could_serve_are_to_be_left_out() -> None:
    celery = Consumer(name="celery", processes=1000, connections=999)
    (problem,) = check(Budget(consumers=(celery,)))
    assert problem.change == {"consumers": ()}
    assert problem.fix == "Set no [consumers]"
    (problem,) = check(Budget(consumers=(celery,), workers=100))
    assert problem.change == {"max_connections": 211, "consumers": ()}


def test_a_host_that_shares_has_no_connections_for_a_reload() -> None:
    p = plan(Budget(sharing="host"))
    assert (p.host_connections, p.steady_connections, p.peak_connections) == (140, 140, 140)
    assert (p.pool_most, p.pool_size, p.guaranteed) == (100, 35, 7)
    fixed = plan(Budget())
    assert (fixed.host_connections, fixed.steady_connections, fixed.peak_connections) == (
        70,
        70,
        140,
    )
    assert (fixed.pool_most, fixed.pool_size, fixed.guaranteed) == (35, 35, 35)


def test_each_consumer_is_taken_off_where_it_runs() -> None:
    celery = Consumer(name="celery", processes=4, connections=2)
    mail = Consumer(name="mail", processes=3, machines=2)
    p = plan(Budget(hosts=2, extra_hosts=1, sharing="host", consumers=(celery, mail)))
    assert (p.promised_on_host, p.promised_elsewhere) == (8, 6)
    assert p.host_connections == (151 - 11 - 6) // 3
    assert p.pool_most == p.host_connections - 8
    assert p.consumers == {"celery": celery, "mail": mail}
    two = plan(replace(p.budget, database_aliases=2))
    assert (two.promised_on_host, two.promised_elsewhere) == (16, 12)


@pytest.mark.parametrize("value", [0, 1001, True, "2", None, 1.0])
def test_a_consumer_of_no_number_cannot_be_made(value: Any) -> None:
    with pytest.raises(ValueError, match="'celery': processes is"):
        Consumer(name="celery", processes=value)


def test_an_unknown_sharing_is_refused() -> None:
    (problem,) = check(Budget(sharing="machine"))
    assert (problem.id, problem.change) == ("B007", {"sharing": "process"})


def test_where_no_worker_count_would_do_only_max_connections_is_named() -> None:
    (problem,) = check(Budget(hosts=100, max_connections=50))
    assert (problem.id, problem.alternatives) == ("B020", ())


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", [None, True, 1.5, "5", -1, [], 10**30])
def test_what_is_no_number_in_range_is_refused(name: str, value: Any) -> None:
    problems = check(replace(Budget(), **{name: value}))
    assert [(p.field, p.value) for p in problems if p.id == "B003"] == [(name, value)]


def test_an_unknown_worker_class_is_refused() -> None:
    (problem,) = check(Budget(worker_class="eventlet"))
    assert (problem.id, problem.change) == ("B005", {"worker_class": "gevent"})


@pytest.mark.parametrize(
    ("rule_id", "breaks_it"),
    [
        ("B010", Budget(reloading_hosts=2)),
        ("B011", Budget(worker_class="gthread", threads=101)),
        ("B020", Budget(workers=71)),
        ("B030", Budget(conn_max_age=541)),
        ("B032", Budget(wait_timeout=33, conn_max_age=0)),
        ("B040", Budget(pool_timeout=30)),
        ("B041", Budget(proxy_read_timeout=30)),
        ("B042", Budget(graceful_timeout=29)),
        ("B043", Budget(stop_timeout=30)),
        ("B055", Budget(memory_mb=1046)),
    ],
)
def test_each_rule_refuses_one_step_past_its_limit(rule_id: str, breaks_it: Budget) -> None:
    (problem,) = check(breaks_it)
    assert problem.id == rule_id
    one_step: Callable[[int], int] = (
        (lambda value: value - 1)
        if rule_id in ("B010", "B020", "B030", "B040", "B011")
        else (lambda value: value + 1)
    )
    name = {"B020": "workers", "B011": "threads"}.get(rule_id, problem.field)
    assert check(replace(breaks_it, **{name: one_step(getattr(breaks_it, name))})) == ()


def test_the_three_worker_classes_count_their_own_units() -> None:
    roomy = Budget(max_connections=2000, memory_mb=16_000)
    pools = {
        worker_class: plan(replace(roomy, worker_class=worker_class)).pool_size
        for worker_class in WORKER_CLASSES
    }
    assert pools == {"gevent": 100, "gthread": 8, "sync": 1}


def test_threads_count_as_tasks_of_gunicorns_unit() -> None:
    tasks = [plan(Budget(worker_class=c, threads=8)).app_tasks_max for c in WORKER_CLASSES]
    assert dict(zip(WORKER_CLASSES, tasks, strict=True)) == {
        "gevent": 2 * 2 * (10 + 14) + 32,
        "gthread": 2 * 2 * (8 + 14) + 32,
        "sync": 2 * 2 * (0 + 14) + 32,
    }


def test_no_reuse_of_connections_is_legal() -> None:
    p = plan(Budget(conn_max_age=0))
    assert (p.conn_max_age, p.max_idle) == (0, 0)


def test_server_options_are_names_and_text() -> None:
    assert plan(Budget()).server_options() == {
        "max_connections": "151",
        "wait_timeout": "600",
        "open_files_limit": "4765",
        "table_open_cache": "2000",
        "thread_cache_size": "140",
        "back_log": "151",
        "innodb_buffer_pool_size": "896M",
    }
