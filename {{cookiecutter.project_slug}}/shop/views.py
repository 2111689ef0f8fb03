"""The pages people see."""

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from shop.models import Product

PER_PAGE = 24


@require_safe
def product_list(request: HttpRequest) -> HttpResponse:
    """All products, PER_PAGE to a page; a page that does not exist is the nearest one."""
    page = Paginator(Product.objects.all(), PER_PAGE).get_page(request.GET.get("page"))
    return render(request, "shop/product_list.html", {"page": page})


@require_safe
def product_detail(request: HttpRequest, product_id: int) -> HttpResponse:
    """One product."""
    product = get_object_or_404(Product, pk=product_id)
    return render(request, "shop/product_detail.html", {"product": product})
