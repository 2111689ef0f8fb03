"""Which part of the site answers where. /livez, /readyz and /metrics: ops/probes.py."""

from django.conf import settings
from django.contrib import admin
from django.urls import include, path

admin.site.site_header = admin.site.site_title = settings.PROJECT_NAME

urlpatterns = [
    path("", include("shop.urls")),
    path("ops/", include("ops.urls")),
    path("admin/", admin.site.urls),
]
