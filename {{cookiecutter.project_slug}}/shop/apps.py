"""The example application: a small shop. Replace it with your own."""

from django.apps import AppConfig


class ShopConfig(AppConfig):
    name = "shop"
