"""What the people who run the site look at: probes, metrics, the budget page, `manage.py pool`."""

from django.apps import AppConfig


class OpsConfig(AppConfig):
    name = "ops"
    verbose_name = "Operations"
