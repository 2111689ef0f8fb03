"""The JSON API: answers, bad input, and what it costs."""

import json
import threading
import time

import pytest
from django.db import connection

import mysql_pool
from shop.models import Order, Product

BAD_NUMBERS = ["", "abc", "-1", "1.5", "1e3", " 5", "٣", "0x10", "9" * 30]  # ٣ is an Arabic 3


def problems(response):
    return {each["field"]: each["problem"] for each in response.json()["errors"]}


def place(client, body, content_type="application/json"):
    data = body if isinstance(body, bytes) else json.dumps(body)
    return client.post("/api/orders/", data, content_type=content_type)


class TestProducts:
    def test_are_listed_in_one_statement(self, client, product, django_assert_num_queries):
        with django_assert_num_queries(1):
            answer = client.get("/api/products/").json()
        assert answer == {
            "products": [
                {
                    "id": product.pk,
                    "sku": "T-1",
                    "name": "Test lamp",
                    "price": "19.90",
                    "stock": 5,
                }
            ],
            "after": None,
        }

    def test_come_in_pages_that_miss_none_and_repeat_none(self, client, db):
        Product.objects.bulk_create(
            Product(sku=f"P-{n}", name="x", price=1, stock=1) for n in range(7)
        )
        seen, after = [], 0
        while after is not None:
            page = client.get(f"/api/products/?limit=3&after={after}").json()
            seen += [product["sku"] for product in page["products"]]
            after = page["after"]
        assert seen == [f"P-{n}" for n in range(7)]

    @pytest.mark.parametrize("number", [*BAD_NUMBERS, "0", "201"])
    def test_are_not_listed_for_a_limit_that_is_none(self, client, db, number):
        response = client.get("/api/products/", {"limit": number})
        assert response.status_code == 400
        assert problems(response) == {"limit": "has to be a whole number from 1 to 200"}

    def test_are_not_listed_and_all_problems_are_told_at_once(self, client, db):
        response = client.get("/api/products/?limit=many&after=never")
        assert problems(response).keys() == {"limit", "after"}

    def test_are_shown_one_by_one_in_one_statement(
        self, client, product, django_assert_num_queries
    ):
        with django_assert_num_queries(1):
            answer = client.get(f"/api/products/{product.pk}/").json()
        assert answer["price"] == "19.90"

    @pytest.mark.parametrize("number", ["0", "999999", "9" * 30])
    def test_are_not_found_under_a_number_that_none_has(self, client, db, number):
        response = client.get(f"/api/products/{number}/")
        assert response.status_code == 404
        assert problems(response) == {"id": f"there is no product {number}"}


class TestAnOrder:
    def test_takes_its_pieces_from_the_stock(self, client, product):
        response = place(client, {"product": product.pk, "quantity": 2})
        order = Order.objects.get()
        product.refresh_from_db()
        assert response.status_code == 201
        assert response.json() == {"order": order.pk, "total": "39.80", "left": 3}
        assert (order.quantity, str(order.total), product.stock) == (2, "39.80", 3)

    def test_of_more_than_is_left_changes_nothing(self, client, product):
        response = place(client, {"product": product.pk, "quantity": 6})
        product.refresh_from_db()
        assert response.status_code == 409
        assert problems(response) == {"quantity": "only 5 left"}
        assert product.stock == 5
        assert not Order.objects.exists()

    def test_of_the_last_pieces_leaves_the_next_one_sold_out(self, client, product):
        assert place(client, {"product": product.pk, "quantity": 5}).status_code == 201
        response = place(client, {"product": product.pk, "quantity": 1})
        assert (response.status_code, problems(response)) == (409, {"quantity": "sold out"})

    def test_of_something_that_is_not_there_is_told_so(self, client, db):
        response = place(client, {"product": 999_999, "quantity": 1})
        assert response.status_code == 404

    @pytest.mark.parametrize("quantity", [0, -1, 1001, 1.5, True, None, "", "two", [1], 10**30])
    def test_of_a_quantity_that_is_none_is_refused(self, client, product, quantity):
        response = place(client, {"product": product.pk, "quantity": quantity})
        assert response.status_code == 400
        assert problems(response) == {"quantity": "has to be a whole number from 1 to 1000"}

    @pytest.mark.parametrize(
        "body", [b"", b"{", b"\xff", b"[" * 100_000, b"[]", b"1", b'"x"', b"null"]
    )
    def test_that_is_no_json_object_is_refused(self, client, db, body):
        response = place(client, body)
        assert response.status_code == 400
        assert "JSON" in problems(response)[""]

    def test_with_a_misspelt_field_is_refused(self, client, product):
        response = place(client, {"product": product.pk, "qantity": 1})
        assert problems(response).keys() == {"qantity", "quantity"}

    def test_cannot_be_read(self, client, db):
        assert client.get("/api/orders/").status_code == 405


@pytest.mark.django_db(transaction=True)
def test_twenty_clients_at_once_never_sell_more_than_there_is(client, pool_options):
    pool_options["MAX_WAITING"] = 20  # a worker with few threads lets few wait
    connection.close()
    product = Product.objects.create(sku="T-2", name="Last lamps", price=1, stock=7)
    start = threading.Barrier(20)
    statuses = []

    def buy():
        start.wait()
        try:
            response = place(client, {"product": product.pk, "quantity": 1})
            statuses.append(response.status_code)
        finally:
            connection.close()

    threads = [threading.Thread(target=buy) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    product.refresh_from_db()
    assert sorted(statuses) == [201] * 7 + [409] * 13
    assert product.stock == 0
    assert Order.objects.count() == 7


class TestAQuote:
    def test_waits_as_long_as_it_is_told(self, client, product):
        start = time.monotonic()
        answer = client.get(f"/api/quote/?product={product.pk}&delay=100").json()
        assert 0.1 <= time.monotonic() - start < 2
        assert (answer["sku"], answer["delay"]) == ("T-1", 100)

    def test_is_for_the_first_product_unless_one_is_named(self, client, product):
        assert client.get("/api/quote/?delay=0").json()["id"] == product.pk

    @pytest.mark.parametrize("delay", [*BAD_NUMBERS, "2001"])
    def test_never_waits_longer_than_it_may(self, client, db, delay):
        response = client.get("/api/quote/", {"delay": delay})
        assert problems(response) == {"delay": "has to be a whole number from 0 to 2000"}

    def test_for_nothing_is_not_found(self, client, db):
        assert client.get("/api/quote/?delay=0").status_code == 404

    @pytest.mark.django_db(transaction=True)
    def test_holds_no_connection_while_it_waits(self, client):
        Product.objects.create(sku="T-3", name="Slow lamp", price=1, stock=1)
        before = mysql_pool.stats()["default"]["held_seconds"]
        assert client.get("/api/quote/?delay=300").status_code == 200
        assert mysql_pool.stats()["default"]["held_seconds"] - before < 0.2
