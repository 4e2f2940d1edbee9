"""Channels as Django's admin and permissions know them. Nothing of them is in the database: there is no table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import models

from eventcast.engine import names

if TYPE_CHECKING:
    from eventcast.engine.presence import ChannelInfo


class NoTable(models.Manager["Channel"]):
    """Finds nothing, without asking the database: or else ``dumpdata`` would ask for a table that is not there."""

    def get_queryset(self) -> models.QuerySet[Channel]:
        """Always empty."""
        return super().get_queryset().none()


class Channel(models.Model):
    """A channel, for what wants a model: permissions, the admin's pages and its history."""

    name = models.TextField(primary_key=True)

    objects = NoTable()

    info: ChannelInfo
    """Its figures, where the admin has put them."""
    rate: float | None
    """Messages per second; None if that is not known yet."""

    class Meta:
        managed = False
        base_manager_name = "objects"
        verbose_name = "channel"
        verbose_name_plural = "channels"
        # None of it is added, changed or deleted: who publishes and who listens makes it come and go.
        default_permissions = ("view",)
        permissions = (
            ("publish_channel", "Can publish to channels"),
            ("disconnect_channel", "Can disconnect subscribers of channels"),
        )

    def __str__(self) -> str:
        return names.printable(self.name)

    @property
    def url(self) -> str:
        """Its own path, percent-encoded."""
        return names.url_path(self.name)
