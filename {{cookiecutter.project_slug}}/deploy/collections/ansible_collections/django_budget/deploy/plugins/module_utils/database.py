"""The administrator's connection to the database server of this host: root, over the Unix socket,
without a password.
"""

# Documented in plugins/doc_fragments/server.py.
SOCKET_OPTION = {"type": "path", "default": "/run/mysqld/mysqld.sock"}


def connect(module, socket):
    """A PyMySQL connection as root; ends the module with a sentence when there is none."""
    try:
        import pymysql
    except ImportError:
        module.fail_json(msg="python3-pymysql is not installed on this host")
    try:
        return pymysql.connect(unix_socket=socket, user="root", autocommit=True, charset="utf8mb4")
    except pymysql.err.MySQLError as error:
        module.fail_json(
            msg=f"root cannot log in over {socket}: {error}. The server has to run, and root has "
            "to be let in by the socket (unix_socket in MariaDB, auth_socket in MySQL), as "
            "Debian's packages set it up."
        )


def is_mariadb(connection):
    """Whether the server is MariaDB (else it is MySQL)."""
    return "mariadb" in connection.get_server_info().lower()
