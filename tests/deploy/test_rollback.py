"""Which release a rollback goes back to, for hosts that do not all serve the same one."""

import os
import re

import pytest

pytestmark = pytest.mark.full

FIND = {
    "ansible.builtin.include_role": {
        "name": "django_budget.deploy.application",
        "tasks_from": "find_release",
    },
    "vars": {"application_home": "{{ places }}/{{ inventory_hostname }}"},
}
SAY = {
    "ansible.builtin.debug": {
        "msg": "{{ application_release }} instead of {{ application_given_up | join(',') }}."
    }
}


@pytest.fixture
def rollback(inventory, tmp_path):
    """``rollback({host: (served, current)}, **variables)``: what is chosen on each host, or why
    nothing is. `served` names releases in the order they first served in.
    """

    def run(hosts, **variables):
        inventory.groups["application"] = list(hosts)
        for host, (served, current) in hosts.items():
            for number, release in enumerate("abcd"):
                if release in served:
                    mark = tmp_path / "places" / host / "releases" / release / ".served"
                    mark.parent.mkdir(parents=True)
                    mark.touch()
                    os.utime(mark, (1_000_000 + number, 1_000_000 + number))
            if current:
                (tmp_path / "places" / host / "current").symlink_to(f"releases/{current}")
        inventory.vars |= {"places": str(tmp_path / "places"), **variables}
        play = {"hosts": "application", "gather_facts": False, "tasks": [FIND, SAY]}
        done = inventory.play([play | {"any_errors_fatal": True}])
        chosen = set(re.findall(r"(\w?) instead of ([\w,]*)\.", done.stdout))
        return chosen.pop() if len(chosen) == 1 else re.sub(r"\s+", " ", done.stdout)

    return run


@pytest.mark.parametrize(
    ("hosts", "chosen"),
    [
        ({"h1": ("abc", "c"), "h2": ("abc", "c")}, ("b", "c")),
        ({"h1": ("ab", "b"), "h2": ("ab", "b")}, ("a", "b")),
        ({"h1": ("abc", "c"), "h2": ("ab", "b")}, ("b", "c")),
        ({"h1": ("ab", "b"), "h2": ("abc", "c")}, ("b", "c")),
        ({"h1": ("ab", "c"), "h2": ("ab", "b")}, ("b", "")),
        ({"h1": ("ab", "c")}, ("b", "")),
    ],
    ids=[
        "one back",
        "a second time, one further",
        "after half a roll-out",
        "after half a rollback",
        "after a roll-out that was killed before the host was well",
        "after a switch that was killed",
    ],
)
def test_all_hosts_go_back_to_the_same_release(rollback, hosts, chosen):
    assert rollback(hosts) == chosen


def test_release_can_be_named(rollback):
    assert rollback({"h1": ("abcd", "d")}, application_rollback_to="a") == ("a", "b,c,d")


def test_without_a_release_before_it_says_so(rollback):
    assert "no release before the current one to go back to. There are: a." in rollback(
        {"h1": ("a", "a")}
    )


def test_host_that_never_had_the_release_is_named(rollback):
    said = rollback({"h1": ("abc", "c"), "h2": ("c", "c")})
    assert "h2: there is no release b to go back to. There are: c." in said
