"""The JSON API. No sessions and no cookies: a request costs the statements one sees here.

Errors are `{"errors": [{"field": ..., "problem": ...}]}` with status 400, 404 or 409.
"""

import json
from typing import Any

from django.conf import settings
from django.http import HttpRequest, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST, require_safe

from shop.models import Product
from shop.orders import SoldOut, place_order
from shop.supplier import wait_for_supplier

MOST_LISTED = 200
LARGEST_ID = 2**63 - 1
LARGEST_QUANTITY = 1000


@require_safe
def products(request: HttpRequest) -> JsonResponse:
    """`?limit=50&after=<id>`: a page of products, in one statement (no COUNT, no OFFSET)."""
    limit, after, problems = 50, 0, []
    try:
        limit = whole_number(request.GET.get("limit", "50"), 1, MOST_LISTED)
    except ValueError as error:
        problems.append(problem("limit", error))
    try:
        after = whole_number(request.GET.get("after", "0"), 0, LARGEST_ID)
    except ValueError as error:
        problems.append(problem("after", error))
    if problems:
        return refused(problems)
    page = [as_json(product) for product in Product.objects.filter(pk__gt=after)[:limit]]
    more = page[-1]["id"] if len(page) == limit else None
    return JsonResponse({"products": page, "after": more})


@require_safe
def product(request: HttpRequest, product_id: int) -> JsonResponse:
    """One product, in one statement."""
    try:
        return JsonResponse(as_json(Product.objects.get(pk=product_id)))
    except Product.DoesNotExist:
        return refused([problem("id", f"there is no product {product_id}")], status=404)


@csrf_exempt  # it reads no cookie, so another site gains nothing by making a browser send this
@require_POST
def orders(request: HttpRequest) -> JsonResponse:
    """`{"product": <id>, "quantity": <n>}`: place an order; 409 if too few pieces are left."""
    try:
        body = json.loads(request.body)
    except (ValueError, RecursionError):
        return refused([problem("", "the body has to be JSON")])
    if not isinstance(body, dict):
        return refused([problem("", "the body has to be a JSON object")])
    problems = [problem(field, "is not known") for field in body.keys() - {"product", "quantity"}]
    numbers = {}
    for field, most in (("product", LARGEST_ID), ("quantity", LARGEST_QUANTITY)):
        try:
            numbers[field] = whole_number(body.get(field), 1, most)
        except ValueError as error:
            problems.append(problem(field, error))
    if problems:
        return refused(problems)
    try:
        order, left = place_order(numbers["product"], numbers["quantity"])
    except Product.DoesNotExist:
        return refused([problem("product", f"there is no product {numbers['product']}")], 404)
    except SoldOut as error:
        return refused([problem("quantity", error)], status=409)
    return JsonResponse({"order": order.pk, "total": order.total, "left": left.stock}, status=201)


@require_safe
def quote(request: HttpRequest) -> JsonResponse:
    """`?product=<id>&delay=50`: one statement, then `delay` milliseconds of waiting elsewhere.

    The wait is what a pooled connection must not be held for. Without `product`: the first one.
    """
    delay, problems = 0, []
    found = Product.objects.all()
    try:
        delay = whole_number(request.GET.get("delay", "50"), 0, settings.QUOTE_MAX_DELAY)
    except ValueError as error:
        problems.append(problem("delay", error))
    if "product" in request.GET:
        try:
            found = found.filter(pk=whole_number(request.GET["product"], 1, LARGEST_ID))
        except ValueError as error:
            problems.append(problem("product", error))
    if problems:
        return refused(problems)
    chosen = found.first()
    if chosen is None:
        return refused([problem("product", "there is no such product")], status=404)
    wait_for_supplier(delay / 1000)
    return JsonResponse({**as_json(chosen), "delay": delay})


def whole_number(value: Any, least: int, most: int) -> int:
    """`value` (text from a URL, or JSON) as an int. Raises ValueError with what would do.

    Text: ASCII digits only; int() would take `1_000`, ` 5` and Arabic digits. JSON: true is no 1.
    """
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        number = int(value)
    elif isinstance(value, int) and not isinstance(value, bool):
        number = value
    else:
        number = least - 1
    if not least <= number <= most:
        raise ValueError(f"has to be a whole number from {least} to {most}")
    return number


def as_json(product: Product) -> dict[str, Any]:
    """What the API shows of a product. Money is text: JSON's numbers are binary fractions."""
    return {
        "id": product.pk,
        "sku": product.sku,
        "name": product.name,
        "price": str(product.price),
        "stock": product.stock,
    }


def problem(field: str, text: object) -> dict[str, str]:
    """One entry of `errors`."""
    return {"field": field, "problem": str(text)}


def refused(problems: list[dict[str, str]], status: int = 400) -> JsonResponse:
    """The answer to a request that cannot be done."""
    return JsonResponse({"errors": problems}, status=status)
