"""The workloads, written as people write views."""

import random
import time

from django.db import connection, transaction
from django.http import JsonResponse

from .models import Item

ROWS = 1000


def as_dict(item):
    return {"id": item.pk, "name": item.name, "price": str(item.price), "stock": item.stock}


def any_key():
    return random.randint(1, ROWS)  # noqa: S311


def row(request):
    return JsonResponse(as_dict(Item.objects.get(pk=any_key())))


def rows(request):
    return JsonResponse({"items": [as_dict(item) for item in Item.objects.all()[:200]]})


def write(request):
    with transaction.atomic():
        item = Item.objects.select_for_update().get(pk=any_key())
        item.stock += 1
        item.save(update_fields=["stock"])
    return JsonResponse(as_dict(item))


def elsewhere(request):
    item = Item.objects.get(pk=any_key())
    time.sleep(0.05)  # another service answers
    return JsonResponse(as_dict(item))


def alone(request):
    time.sleep(0.05)  # another service answers
    return JsonResponse({"id": any_key()})


def slow(request):
    with connection.cursor() as cursor:
        cursor.execute("SELECT SLEEP(0.1)")
        return JsonResponse({"slept": cursor.fetchone()[0]})
