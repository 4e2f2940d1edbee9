"""Channels as a model, for Django's admin and permissions. The model has no table, and the database no channels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import models
from django.utils.translation import gettext_lazy

from eventcast.engine import names

if TYPE_CHECKING:
    from eventcast.engine.presence import ChannelInfo


class NoTable(models.Manager["Channel"]):
    """A manager without results: ``dumpdata`` would fail if it asked the database for a table that does not exist."""

    def get_queryset(self) -> models.QuerySet[Channel]:
        """An empty query set."""
        return super().get_queryset().none()


class Channel(models.Model):
    """A channel, as permissions, the admin's pages and the admin's history need it."""

    name = models.TextField(primary_key=True)

    objects = NoTable()

    info: ChannelInfo
    """The channel's figures, set by the admin's list."""
    rate: float | None
    """Messages per second, set by the admin's list; None if unknown."""

    class Meta:
        managed = False
        base_manager_name = "objects"
        verbose_name = gettext_lazy("channel")
        verbose_name_plural = gettext_lazy("channels")
        # No permission to add, change or delete: publishers and subscribers make channels come and go.
        default_permissions = ("view",)
        permissions = (
            ("publish_channel", "Can publish to channels"),
            ("disconnect_channel", "Can disconnect subscribers of channels"),
        )

    def __str__(self) -> str:
        return names.printable(self.name)

    @property
    def url(self) -> str:
        """The channel's URL path, percent-encoded."""
        return names.url_path(self.name)
