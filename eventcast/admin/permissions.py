"""Who may do what to channels in the admin. The permissions are Django's, given to users and groups as all others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import admin
from django.contrib.auth import get_permission_codename
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from eventcast.models import Channel

if TYPE_CHECKING:
    Base = admin.ModelAdmin[Channel]
else:
    Base = admin.ModelAdmin


class ChannelPermissions(Base):
    """Who sees, publishes and disconnects. What a user may not do has no place on a page, and its URL answers 403."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody: a channel is there when somebody listens."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Channel | None = None) -> bool:
        """Nobody: there is nothing to change."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Channel | None = None) -> bool:
        """Nobody: a channel is gone when nobody listens."""
        return False

    def has_publish_permission(self, request: HttpRequest, obj: Channel | None = None) -> bool:
        """Whether the user may publish to channels: the permission ``eventcast.publish_channel``."""
        return self._has(request, "publish")

    def has_disconnect_permission(self, request: HttpRequest, obj: Channel | None = None) -> bool:
        """Whether the user may disconnect subscribers: the permission ``eventcast.disconnect_channel``."""
        return self._has(request, "disconnect")

    def _has(self, request: HttpRequest, what: str) -> bool:
        return request.user.has_perm(f"{self.opts.app_label}.{get_permission_codename(what, self.opts)}")

    @staticmethod
    def require(permitted: bool) -> None:
        """Answer 403 unless ``permitted``."""
        if not permitted:
            raise PermissionDenied
