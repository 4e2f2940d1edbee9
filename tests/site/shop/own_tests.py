"""The site's own tests: ``manage.py test tests.site.shop --pattern own_tests.py``, without Redis."""

from __future__ import annotations

from unittest import mock

from django.core.management import call_command
from django.test import TestCase

from eventcast.testing import PublishedMixin
from tests.site.shop import tasks
from tests.site.shop.models import Order


class OrderTests(PublishedMixin, TestCase):
    def test_payment_is_published_when_it_is_committed(self) -> None:
        self.client.post("/orders/42/pay/")
        self.assertPublished("/live/orders/42", {"state": "paid"}, times=1)

    def test_payment_that_is_rolled_back_is_not_published(self) -> None:
        self.client.post("/orders/0/pay/")
        self.assertNotPublished("orders/0")
        assert not Order.objects.exists()

    def test_task_publishes(self) -> None:
        tasks.pack(42)
        self.assertPublished("orders/42", {"state": "packed"})

    def test_command_publishes(self) -> None:
        call_command("ship", "42")
        self.assertPublished("orders/42", {"state": "shipped"})

    def test_page_needs_a_login(self) -> None:
        with mock.patch.object(tasks.pack, "delay") as delay:
            assert self.client.post("/orders/42/pack/").status_code == 302
        delay.assert_not_called()
        self.assertNotPublished("orders/42")
