"""Who is compared: each peer as its own documentation tells people to set it up.

Those that can bound their connections have the same bound: `POOL` in each of 2 workers.
Standard library only: imported by the runner and by the site that is served.
"""

from dataclasses import dataclass, field

WORKERS = 2
POOL = 20  # connections of one worker
BOUND = WORKERS * POOL
DATABASE = "bench"


@dataclass(frozen=True, kw_only=True)
class Peer:
    """One way to serve the site.

    ``settings`` goes into Django's ``DATABASES["default"]``; ``driver`` is what ``import MySQLdb``
    means to it.
    """

    name: str
    title: str
    worker_class: str = "gevent"
    workers: int = WORKERS
    threads: int = 1
    driver: str = "pymysql"
    engine: str = "django.db.backends.mysql"
    settings: dict[str, object] = field(default_factory=dict)
    options: dict[str, object] = field(default_factory=dict)
    bare: bool = False  # no Django at all
    as_generated: bool = False  # with the gunicorn.conf.py of a generated project
    ledger: bool = False  # its processes share one bound

    @property
    def ours(self) -> bool:
        return self.engine == "mysql_pool"

    @property
    def application(self) -> str:
        return f"benchmarks.site.{'floor' if self.bare else 'wsgi'}:application"

    def database(self, socket: str) -> dict[str, object]:
        """``DATABASES["default"]`` for the server at ``socket``."""
        return {
            "ENGINE": self.engine,
            "NAME": DATABASE,
            "USER": DATABASE,
            "PASSWORD": DATABASE,
            "HOST": socket,
            "OPTIONS": dict(self.options),
            **self.settings,
        }


def ours(driver: str, release: str, *, as_generated: bool = False) -> Peer:
    """mysql_pool; under the same Gunicorn as the others, or as a generated project sets it up."""
    suffix = "" if release == "transaction" else f"-{release}"
    generated = ", gunicorn.conf.py of a generated project" if as_generated else ""
    return Peer(
        name=f"{'project' if as_generated else 'ours'}-{driver}{suffix}",
        title=f"mysql_pool, {driver}, released per {release}{generated}",
        as_generated=as_generated,
        driver=driver,
        engine="mysql_pool",
        settings={"CONN_MAX_AGE": 60},
        options={
            **{"MAX_CONNS": POOL, "DRIVER": driver, "RELEASE": release},
            **{"POOL_TIMEOUT": 30, "MAX_WAITING": 4000},  # nobody is to be refused here
        },
    )


ALL = (
    ours("pymysql", "transaction"),
    ours("mysqlclient", "transaction"),
    ours("pymysql", "request"),
    ours("mysqlclient", "request"),
    ours("pymysql", "transaction", as_generated=True),
    ours("mysqlclient", "transaction", as_generated=True),
    Peer(
        name="sqlalchemy",
        title="django-db-connection-pool (SQLAlchemy's pool), gevent, pymysql",
        engine="dj_db_conn_pool.backends.mysql",
        settings={"POOL_OPTIONS": {"POOL_SIZE": POOL, "MAX_OVERFLOW": 0}},
    ),
    Peer(
        name="geventpool",
        title="django-db-geventpool with a MySQL adapter, gevent, pymysql",
        engine="benchmarks.site.geventpool",
        options={"MAX_CONNS": POOL, "REUSE_CONNS": POOL},
    ),
    Peer(
        name="db-pooling",
        title="django_db_pooling, gevent, pymysql",
        settings={"CONN_MAX_AGE": 60},
    ),
    Peer(
        name="gthread",
        title="stock Django, gthread, mysqlclient, CONN_MAX_AGE 60",
        worker_class="gthread",
        threads=POOL,
        driver="mysqlclient",
        settings={"CONN_MAX_AGE": 60},
    ),
    Peer(
        name="sync",
        title="stock Django, sync, mysqlclient, CONN_MAX_AGE 60",
        worker_class="sync",
        driver="mysqlclient",
        settings={"CONN_MAX_AGE": 60},
    ),
    Peer(
        name="sync-40",
        title=f"the same with {BOUND} worker processes: as many connections as the others",
        worker_class="sync",
        workers=BOUND,
        driver="mysqlclient",
        settings={"CONN_MAX_AGE": 60},
    ),
    Peer(
        name="stock-60",
        title="stock Django, gevent, pymysql, CONN_MAX_AGE 60",
        settings={"CONN_MAX_AGE": 60},
    ),
    Peer(
        name="stock-0",
        title="stock Django, gevent, pymysql, CONN_MAX_AGE 0",
    ),
    Peer(
        name="floor",
        title="the floor: no Django, a queue of pymysql connections, gevent",
        bare=True,
    ),
)

#: The defaults of a budget: so many connections has one host, and may one of 2 workers have if as
#: many old ones may stand beside them.
HOST, STATIC = 140, 35


def host(name: str, title: str, *, ledger: bool) -> Peer:
    """All connections of one host, for 2 workers and those that a reload adds."""
    shared = {"HOST_CONNS": HOST, "GUARANTEED": 7, "STATIC_CONNS": STATIC} if ledger else {}
    return Peer(
        name=name,
        title=title,
        engine="mysql_pool",
        settings={"CONN_MAX_AGE": 60},
        options={
            **{"MAX_CONNS": HOST if ledger else STATIC, "POOL_TIMEOUT": 30, "MAX_WAITING": 4000},
            **shared,
        },
        ledger=ledger,
    )


HOSTS = (
    host(
        "host-static", f"{HOST} connections of a host, a fixed share for each worker", ledger=False
    ),
    host("host-ledger", f"{HOST} connections of a host, shared by its workers", ledger=True),
)

BY_NAME = {peer.name: peer for peer in (*ALL, *HOSTS)}
