"""The one table; `benchmarks.serving` creates and fills it."""

from django.db import models


class Item(models.Model):
    """A row of 1000."""

    name = models.CharField(max_length=100)
    price = models.DecimalField(max_digits=8, decimal_places=2)
    stock = models.IntegerField()
    changed = models.DateTimeField()

    class Meta:
        managed = False
        db_table = "item"

    def __str__(self):
        return self.name
