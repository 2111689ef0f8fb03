"""What Gunicorn serves for all peers with Django. The gevent worker has patched before this."""

import os

from django.core.wsgi import get_wsgi_application

os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.site.settings"
application = get_wsgi_application()

if os.environ["BENCH_PEER"] == "db-pooling":
    import django_db_pooling.pooling

    from benchmarks.peers import POOL

    django_db_pooling.pooling.set_pool_size(POOL, max_outstanding=POOL)
    django_db_pooling.pooling.apply_patch()
