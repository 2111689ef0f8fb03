"""`manage.py seed`: products to try the shop with."""

from argparse import ArgumentParser
from decimal import Decimal
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from shop.models import Product

MATERIALS = ("Oak", "Steel", "Linen", "Glass", "Cork", "Copper", "Wool", "Slate")
THINGS = ("chair", "lamp", "table", "bowl", "shelf", "clock", "basket", "mirror", "stool")
BATCH = 500


class Command(BaseCommand):
    help = "Adds products, always the same ones. Those that are there already stay as they are."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--products", type=int, default=1000, help="how many (default: 1000)")
        parser.add_argument("--stock", type=int, default=100, help="pieces of each (default: 100)")

    def handle(self, *args: Any, products: int, stock: int, **options: Any) -> None:
        if not 0 <= products <= 1_000_000 or not 0 <= stock <= 1_000_000:
            raise CommandError("--products and --stock have to be from 0 to 1000000.")
        before = Product.objects.count()
        there = set(Product.objects.values_list("sku", flat=True))
        missing = [number for number in range(1, products + 1) if sku(number) not in there]
        for start in range(0, len(missing), BATCH):
            # ignore_conflicts: two runs at the same time are as good as one.
            Product.objects.bulk_create(
                (sample(number, stock) for number in missing[start : start + BATCH]),
                ignore_conflicts=True,
            )
        after = Product.objects.count()
        self.stdout.write(f"{after} products, {after - before} of them new.")


def sku(number: int) -> str:
    """The article number of the sample product `number`."""
    return f"S-{number:07}"


def sample(number: int, stock: int) -> Product:
    """The sample product `number`, the same in every run."""
    thing, material = THINGS[number % len(THINGS)], MATERIALS[number % len(MATERIALS)]
    return Product(
        sku=sku(number),
        name=f"{material} {thing} {number}",
        price=Decimal(number * 7919 % 19_900 + 100) / 100,
        stock=stock,
    )
