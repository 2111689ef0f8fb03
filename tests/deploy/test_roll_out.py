"""In which order hosts are replaced, when some of them are new."""

import re

import pytest

ORDER = {
    "ansible.builtin.include_role": {
        "name": "django_budget.deploy.application",
        "tasks_from": "order",
    }
}
SAY = {"ansible.builtin.debug": {"msg": "order: {{ application_order | join(' ') }}."}}


@pytest.mark.parametrize(
    ("reloading_hosts", "serving", "order"),
    [
        (1, {"a"}, "b a c d"),
        (2, {"a", "c"}, "b a c d"),
        (0, {"d"}, "d a b c"),
        (1, set(), "a b c d"),
        (1, {"a", "b", "c", "d"}, "a b c d"),
    ],
    ids=["first neighbours", "one ahead", "no room for one ahead", "all new", "all old"],
)
def test_old_pools_shrink_before_more_than_one_new_one_is_filled(
    inventory, reloading_hosts, serving, order
):
    inventory.groups["application"] = list("abcd")
    inventory.host_vars = {
        host: {"application_before": {"active": host in serving}} for host in "abcd"
    }
    inventory.vars["application_plan"] = {"budget": {"reloading_hosts": reloading_hosts}}
    play = {"hosts": "application", "gather_facts": False, "tasks": [ORDER, SAY]}
    done = inventory.play([play])
    assert set(re.findall(r"order: (.*)\.", done.stdout)) == {order}, done.stdout
