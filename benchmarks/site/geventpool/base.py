"""The thinnest adapter: its pool and its mixin as they are, PyMySQL's names for psycopg's.

Written after its own ``postgresql_psycopg3/base.py``. A Django backend has to be a package.
"""

from django.db.backends.mysql import base as mysql
from django.db.backends.mysql.creation import DatabaseCreation
from django_db_geventpool.backends import base, pool


class MySQLConnectionPool(pool.DatabaseConnectionPool):
    DBERROR = mysql.Database.Error

    def __init__(self, **parameters):
        super().__init__(parameters.pop("MAX_CONNS"), parameters.pop("REUSE_CONNS"))
        self.parameters = parameters

    def create_connection(self):
        return mysql.Database.connect(**self.parameters)

    def check_usable(self, connection):
        connection.cursor().execute("SELECT 1")


class DatabaseWrapper(base.DatabaseWrapperMixin, mysql.DatabaseWrapper):
    pool_class = MySQLConnectionPool
    creation_class = DatabaseCreation

    def _close(self):
        connection, self.connection = self.connection, None
        if not connection.open:
            self.pool.close()
            return
        if not connection.get_autocommit():
            connection.rollback()
        with self.wrap_database_errors:
            self.pool.put(connection)
