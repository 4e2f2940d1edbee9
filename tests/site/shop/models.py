from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models.signals import post_save
from django.dispatch import receiver

import eventcast


class Order(models.Model):
    number = models.IntegerField(primary_key=True)
    state = models.CharField(max_length=20)

    def __str__(self) -> str:
        return f"order {self.number}"


@receiver(post_save, sender=Order)
def tell_pages(instance: Order, **options: Any) -> None:
    """In the transaction of the request: pages hear of it when it commits."""
    eventcast.publish(f"orders/{instance.number}", {"state": instance.state}, on_commit=True)
