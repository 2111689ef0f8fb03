"""The shop in Django's admin."""

from django.contrib import admin

from shop.models import Order, Product


@admin.register(Product)
class ProductAdmin(admin.ModelAdmin):
    list_display = ("name", "sku", "price", "stock")
    search_fields = ("name", "sku")


@admin.register(Order)
class OrderAdmin(admin.ModelAdmin):
    """Orders are placed through the API, which takes them from the stock; here one only looks."""

    list_display = ("id", "product", "quantity", "total", "placed_at")
    list_select_related = ("product",)

    def has_add_permission(self, request: object) -> bool:
        return False

    def has_change_permission(self, request: object, obj: object = None) -> bool:
        return False
