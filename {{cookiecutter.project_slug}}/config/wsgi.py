{% if cookiecutter.worker_class == 'gevent' -%}
"""What Gunicorn's workers serve. It patches before anything else is imported."""

from config.patching import patch

patch()

import os  # noqa: E402

from django.core.wsgi import get_wsgi_application  # noqa: E402

from config.checks import refuse_to_serve_on_errors  # noqa: E402
{%- else -%}
"""What Gunicorn's workers serve."""

import os

from django.core.wsgi import get_wsgi_application

from config.checks import refuse_to_serve_on_errors
{%- endif %}

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
os.environ.setdefault("POOL_ROLE", "web")
application = get_wsgi_application()
refuse_to_serve_on_errors()
