"""One page for each workload, without middleware in the way."""

from django.urls import path

from . import views

urlpatterns = [
    path("row/", views.row),
    path("rows/", views.rows),
    path("write/", views.write),
    path("elsewhere/", views.elsewhere),
    path("slow/", views.slow),
    path("alone/", views.alone),
]
