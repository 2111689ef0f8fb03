"""The shop's pages, and its API below /api/."""

from django.urls import path

from shop import api, views

app_name = "shop"
urlpatterns = [
    path("", views.product_list, name="products"),
    path("products/<int:product_id>/", views.product_detail, name="product"),
    path("api/products/", api.products, name="api-products"),
    path("api/products/<int:product_id>/", api.product, name="api-product"),
    path("api/orders/", api.orders, name="api-orders"),
    path("api/quote/", api.quote, name="api-quote"),
]
