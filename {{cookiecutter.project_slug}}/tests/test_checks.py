"""The system checks: each is silent when all is well, and speaks when its value is wrong."""

from dataclasses import replace

import pytest
from django.core import checks
from django.db import connections

from budget.plan import plan
from config.checks import TAG, account_limit_fits, refuse_to_serve_on_errors
from ops.server import ask_server


def found(**kwargs):
    return {message.id for message in checks.run_checks(**kwargs)}


class TestTheSettings:
    def test_fit_the_budget_as_they_are(self):
        assert found(tags=[TAG]) == set()

    def test_do_not_fit_with_a_larger_pool(self, pool_options):
        pool_options["MAX_CONNS"] += 1
        assert found(tags=[TAG]) == {"config.E001"}

    def test_do_not_fit_with_a_pool_of_the_default_size(self, pool_options):
        del pool_options["MAX_CONNS"]
        assert found(tags=[TAG]) == {"config.E001"}

    @pytest.mark.parametrize("name", ["LEDGER", "HOST_CONNS"])
    def test_do_not_fit_with_connections_that_are_counted_elsewhere(self, pool_options, name):
        pool_options[name] = {"LEDGER": "/run/another", "HOST_CONNS": 10_000}[name]
        assert found(tags=[TAG]) == {"config.E007"}

    def test_do_not_fit_with_an_alias_the_budget_does_not_know(self, settings, monkeypatch):
        default = connections["default"].settings_dict
        monkeypatch.setitem(connections.settings, "replica", default)
        assert found(tags=[TAG]) == {"config.E002"}

    @pytest.mark.parametrize("age", [None, 0, 600])
    def test_do_not_fit_with_connections_older_than_the_server_lets_them_be(self, monkeypatch, age):
        monkeypatch.setitem(connections["default"].settings_dict, "CONN_MAX_AGE", age)
        assert found(tags=[TAG]) == {"config.E003"}

    def test_do_not_fit_with_a_wait_longer_than_a_request(self, pool_options):
        pool_options["POOL_TIMEOUT"] = 30
        assert found(tags=[TAG]) == {"config.E004"}

    def test_that_do_not_fit_keep_a_worker_from_serving(self, pool_options):
        pool_options["MAX_CONNS"] += 1
        pool_options["POOL_TIMEOUT"] = 30
        with pytest.raises(RuntimeError, match=r"(?s)config\.E001.*config\.E004"):
            refuse_to_serve_on_errors()


@pytest.mark.django_db(transaction=True)
def test_a_server_that_does_not_answer_is_an_error(no_database):
    assert found(tags=["database"], databases=["default"]) == {"config.E010"}


@pytest.mark.django_db
class TestTheServer:
    def test_keeps_the_budget_as_it_is(self):
        assert found(tags=["database"], databases=["default"]) == set()

    def test_is_only_asked_when_its_alias_is_named(self, django_assert_num_queries):
        with django_assert_num_queries(0):
            checks.run_checks()

    @pytest.mark.parametrize(
        ("field", "error"), [("max_connections", "config.E011"), ("wait_timeout", "config.E012")]
    )
    def test_does_not_keep_a_larger_budget(self, settings, field, error):
        budget = settings.PLAN.budget
        settings.PLAN = plan(replace(budget, **{field: getattr(budget, field) + 1}))
        assert error in found(tags=["database"], databases=["default"])

    def test_lets_the_account_have_as_many_connections_as_planned(self, settings):
        live = ask_server()
        planned = settings.PLAN.max_user_connections

        def ids(**changes):
            return [m.id for m in account_limit_fits(settings.PLAN, replace(live, **changes))]

        assert ids(max_user_connections=planned) == []
        assert ids(max_user_connections=planned - 1) == ["config.E013"]
        assert ids(max_user_connections=planned + 1) == ["config.W014"]
        assert ids(max_user_connections=0) == ["config.W014"]
        assert ids(max_user_connections=0, account="shop_migrate@%") == []
