"""``manage.py pay``: does what the page does, without a browser."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from payment.forms import OrderForm
from payment.orders import pay


class Command(BaseCommand):
    help = "Pays an order."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--key", default="", help="the order's key; default: a new one")
        for name, field in OrderForm.base_fields.items():
            parser.add_argument(f"--{name}", default=field.initial, help=f"default: {field.initial}")

    def handle(self, *args: Any, **options: Any) -> None:
        form = OrderForm(options)
        if not form.is_valid():
            raise CommandError(form.errors.as_text())
        self.stdout.write(f"Order {pay(form.cleaned_data, options['key'])} is paid.")
