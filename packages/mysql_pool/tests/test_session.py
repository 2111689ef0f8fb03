"""When a session takes, keeps and releases its connection: on a server that is fake."""

import pytest

from packages.mysql_pool.tests import fake
from packages.mysql_pool.tests.alone import eventually


def test_a_session_holds_its_connection_for_a_statement(scene):
    one = scene(max_conns=1)
    first, second = one.session(), one.session()
    for session in (first, second, first):
        session.cursor().execute("SELECT 1")
        assert session.held is None
    assert one.server.most == 1


def test_autocommit_goes_off_with_the_first_statement_and_on_with_the_commit(scene):
    one = scene(max_conns=1)
    session = one.session()
    session.cursor().execute("SELECT 0")
    session.autocommit(False)
    assert session.held is None
    session.cursor().execute("SELECT 1")
    connection = session.held
    session.cursor().execute("SELECT 2")
    session.commit()
    session.autocommit(True)
    assert session.held is None
    assert connection.sent[-4:] == [
        "SET autocommit = 0",
        "SELECT 1",
        "SELECT 2",
        "SET autocommit = 1",
    ]


def test_a_statement_that_is_never_sent_leaves_nothing_for_the_next_user(scene):
    one = scene(max_conns=1)
    session = one.session()
    session.autocommit(False)
    connection, _ = session.statement_begins("SELECT 1")
    assert connection.lead is False
    session.statement_failed(connection, TypeError("not enough arguments"))
    assert connection.lead is None
    session.autocommit(True)
    session.release()
    other = one.session()
    other.cursor().execute("INSERT INTO t VALUES (1)")
    assert "SET autocommit = 0" not in connection.sent
    assert not connection.in_transaction()


def test_a_changed_session_is_reset_before_it_goes_on(scene):
    one = scene(max_conns=1)
    session = one.session(set_up=["SET hello"])
    session.cursor().execute("SET a")
    connection = session.held
    assert connection.state == {"SET a"}
    session.release()
    assert connection.state == set()
    assert connection.fresh
    session.cursor().execute("SELECT 1")
    assert connection.sent[-3:] == ["SET autocommit = 1", "SET hello", "SELECT 1"]


def test_what_cannot_be_reset_is_closed(scene):
    one = scene(max_conns=1)
    session = one.session()
    session.cursor().execute("SET ROLE boss")
    connection = session.held
    session.release()
    assert connection.is_closed
    assert one.pool.stats()["closed"] == {"changed session": 1}


def test_a_block_by_hand_is_reset_at_its_end(scene):
    one = scene(max_conns=1)
    session = one.session()
    session.pin_by_hand()
    session.cursor().execute("SELECT my_function()")
    connection = session.held
    connection.state.add("what the function left")
    session.release()  # as request_finished of a test client
    assert session.held is connection
    session.unpin_by_hand()
    assert session.held is None
    assert connection.state == set()


def test_a_connection_lost_in_a_transaction_is_not_replaced_in_it(scene):
    one = scene()
    session = one.session()
    session.autocommit(False)
    session.cursor().execute("INSERT INTO t VALUES (1)")
    one.server.end(session.held)
    for _ in range(2):
        with pytest.raises(fake.OperationalError, match="Lost connection"):
            session.cursor().execute("INSERT INTO t VALUES (2)")
    session.rollback()
    session.autocommit(True)
    session.cursor().execute("SELECT 1")


def test_a_connection_lost_between_statements_is_replaced(scene):
    one = scene()
    session = one.session()
    session.cursor().execute("SELECT 1")
    one.server.end(*one.server.connections)
    session.cursor().execute("SELECT 2")


def test_the_receiver_of_new_connections_is_told_of_each(scene):
    told = []
    one = scene(reuse_conns=0)
    session = one.session(when_set_up=lambda: told.append(session.held))
    for _ in range(3):
        session.cursor().execute("SELECT 1")
    assert len(told) == len(set(map(id, told))) == 3


def test_an_error_in_the_set_up_gives_the_connection_back_closed(scene):
    one = scene(max_conns=1)
    session = one.session(set_up=["SET FAIL 1064"])
    for _ in range(3):
        with pytest.raises(fake.OperationalError):
            session.cursor().execute("SELECT 1")
        assert session.held is None
    eventually(lambda: one.pool.stats()["open"] == 0)


def test_an_attribute_that_nobody_has_keeps_no_connection(scene):
    one = scene(max_conns=1)
    session = one.session()
    assert not hasattr(session, "get_dsn_parameters")
    assert session.held is None
    assert session.home is one.server  # an attribute of the driver's connection
    assert session.held is not None
