"""The pages people see, and the commands that fill them."""

import re

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from shop.models import Product


@pytest.mark.django_db
class TestTheListOfProducts:
    def test_says_how_to_get_some_when_it_is_empty(self, client):
        assert "manage.py seed" in client.get("/").content.decode()

    @pytest.mark.parametrize("page", ["2", "", "abc", "-1", "999", "1e9", "9" * 30])
    def test_shows_a_page_whatever_is_asked_for(self, client, page):
        call_command("seed", products=30, verbosity=0)
        response = client.get("/", {"page": page})
        assert response.status_code == 200
        assert "of 2" in response.content.decode()

    def test_escapes_what_people_have_typed(self, client):
        Product.objects.create(sku="X", name="<script>alert(1)</script>", price=1, stock=0)
        text = client.get("/").content.decode()
        assert "<script>" not in text
        assert "sold out" in text

    def test_leads_to_each_product(self, client, product):
        assert product.get_absolute_url() in client.get("/").content.decode()
        assert "T-1" in client.get(product.get_absolute_url()).content.decode()


def test_static_files_are_served_and_may_be_kept_for_ever(client, db):
    page = client.get("/").content.decode()
    address = re.search(r'href="(/static/site\.[0-9a-f]+\.css)"', page)[1]
    response = client.get(address)
    assert response.status_code == 200
    assert "immutable" in response["Cache-Control"]
    assert b"--accent" in response.getvalue()


def test_an_address_without_a_page_is_not_found(client, db):
    response = client.get("/nothing/here/")
    assert response.status_code == 404
    assert "Not found" in response.content.decode()


class TestSeed:
    def test_adds_the_same_products_each_time_and_none_twice(self, db, capsys):
        call_command("seed", products=20)
        first = list(Product.objects.values("sku", "name", "price", "stock"))
        call_command("seed", products=20)
        assert list(Product.objects.values("sku", "name", "price", "stock")) == first
        assert "20 products, 0 of them new." in capsys.readouterr().out

    def test_leaves_what_is_there_as_it_is(self, db):
        call_command("seed", products=1, verbosity=0)
        Product.objects.update(stock=3)
        call_command("seed", products=2, verbosity=0)
        assert Product.objects.get(sku="S-0000001").stock == 3

    @pytest.mark.parametrize("number", [-1, 1_000_001])
    def test_refuses_a_number_that_is_none(self, db, number):
        with pytest.raises(CommandError, match="from 0 to 1000000"):
            call_command("seed", products=number)


class TestTheAdmin:
    @pytest.fixture(autouse=True)
    def log_in(self, client, db):
        client.force_login(User.objects.create_superuser("admin"))

    @pytest.mark.parametrize("path", ["", "shop/product/", "shop/product/add/", "shop/order/"])
    def test_shows_its_pages(self, client, product, path):
        assert client.get(f"/admin/{path}").status_code == 200

    def test_changes_a_product(self, client, product):
        response = client.post(
            f"/admin/shop/product/{product.pk}/change/",
            {"sku": "T-1", "name": "Better lamp", "price": "20.00", "stock": "4"},
        )
        product.refresh_from_db()
        assert response.status_code == 302
        assert (product.name, product.stock) == ("Better lamp", 4)

    def test_does_not_place_orders_past_the_stock(self, client):
        assert client.get("/admin/shop/order/add/").status_code == 403
