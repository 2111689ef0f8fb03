"""What an answer of the server means: the flags of its status, and the numbers of its errors.

The one place that knows them. Sources: "Protocol::OK_Packet" and "Server Error Message Reference"
of the MySQL manual, "MariaDB Error Codes"; tried on MariaDB 10.11 and 11.8 and MySQL 9.7. Where
two servers differ, both are named.
"""

import ssl

# -- flags of the status that every answer but an error carries ---------------------------------

IN_TRANSACTION = 0x0001
AUTOCOMMIT = 0x0002
MORE_RESULTS = 0x0008
#: System or user variables, temporary tables, prepared statements or the database have changed.
#: Only with CLIENT.SESSION_TRACK, and `TRACK` sent before.
SESSION_CHANGED = 0x4000

#: The flags that tell of a session.
TELLING = IN_TRANSACTION | AUTOCOMMIT | MORE_RESULTS | SESSION_CHANGED

#: What makes a server set SESSION_CHANGED. With '*' MySQL would set it with every answer, because
#: its `statement_id` changes.
TRACK = (
    "SET SESSION session_track_state_change = 1, session_track_system_variables = '', "
    "session_track_schema = 1"
)

# -- numbers of errors --------------------------------------------------------------------------

#: The client's own errors (lost, gone away, ...): no answer came, or not all of it.
CLIENT_ERRORS = range(2000, 3000)

#: The connection was refused, and may be given in a moment.
REFUSED = frozenset(
    [
        1040,  # too many connections
        1053,  # server shutdown in progress
        1203,  # max_user_connections
        1226,  # the account's own limit of connections
        2002,  # cannot connect through the socket
        2003,  # cannot connect to the host
        2005,  # unknown host: name servers have their moments too
        2006,  # gone away in the middle of the handshake
        2013,  # lost in the middle of the handshake
    ]
)

READ_ONLY_OPTION = 1290
#: "You are at the wrong server": it was demoted, is shutting down or has lost its cluster.
WRONG_SERVER = frozenset(
    [
        1047,  # Galera: not ready for application use
        1053,  # shutdown in progress
        READ_ONLY_OPTION,  # running with --read-only or --super-read-only
        1792,  # cannot execute in a READ ONLY transaction: MySQL's transaction_read_only
        1836,  # running in read-only mode
        3100,  # Group Replication: the member cannot run it
    ]
)


def number_of(error: BaseException) -> int | None:
    """The server's or the client library's number of an error; None if it has none."""
    number = error.args[0] if error.args else None
    return number if type(number) is int else None


def is_from_server(error: BaseException) -> bool:
    """Whether the server sent it, so that it was the whole answer and the protocol is idle."""
    number = number_of(error)
    return number is not None and number > 0 and number not in CLIENT_ERRORS


def is_refusal(error: BaseException) -> bool:
    """Whether to connect again in a moment may succeed."""
    # PyMySQL says "can't connect" of a certificate that it does not trust, too.
    cause = getattr(error, "original_exception", None)
    return number_of(error) in REFUSED and not isinstance(cause, ssl.SSLCertVerificationError)


def is_denial(error: BaseException) -> bool:
    """Whether the account or its password is wrong."""
    return number_of(error) == 1045


def is_of_wrong_server(error: BaseException) -> bool:
    """Whether another server would have answered otherwise, if the address leads there now."""
    number = number_of(error)
    if number == READ_ONLY_OPTION:  # the number is that of other options too (--secure-file-priv)
        return "read-only" in str(error) or "read_only" in str(error)
    return number in WRONG_SERVER


def is_out_of_sync(error: BaseException) -> bool:
    """Whether nothing was sent, because an answer is still being read."""
    return number_of(error) == 2014
