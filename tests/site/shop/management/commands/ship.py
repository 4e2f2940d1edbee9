"""For cron."""

from __future__ import annotations

from typing import Any

from django.core.management import BaseCommand, CommandParser

import eventcast


class Command(BaseCommand):
    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("number", type=int)

    def handle(self, **options: Any) -> None:
        eventcast.publish(f"orders/{options['number']}", {"state": "shipped"})
