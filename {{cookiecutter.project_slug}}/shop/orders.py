"""Placing an order: the one transaction of this application."""

from django.db import transaction

from shop.models import Order, Product


class SoldOut(Exception):
    """Fewer pieces are left than were asked for; `left` says how many."""

    def __init__(self, left: int) -> None:
        super().__init__(f"only {left} left" if left else "sold out")
        self.left = left


def place_order(product_id: int, quantity: int) -> tuple[Order, Product]:
    """Take `quantity` pieces from the stock; return the order and the product as it is now.

    The row is locked from the first look at the stock until the commit, so two orders never get the
    same piece. Raises SoldOut, or Product.DoesNotExist.
    """
    with transaction.atomic():
        product = Product.objects.select_for_update().get(pk=product_id)
        if product.stock < quantity:
            raise SoldOut(product.stock)
        product.stock -= quantity
        product.save(update_fields=["stock"])
        order = Order.objects.create(
            product=product, quantity=quantity, total=product.price * quantity
        )
    return order, product
