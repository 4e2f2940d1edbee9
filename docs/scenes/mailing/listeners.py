"""Mails the company about each payment, without any change in the payment's code."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.mail import send_mail
from django.template.loader import render_to_string

from eventcast import listener


@listener("/eventcast/user/<str:key>")
def mail_the_company(order: dict[str, Any], key: str) -> None:
    """Send a mail about a paid order to the company."""
    context = {"order": order, "key": key}
    # A line break in a name must not start another header.
    subject = " ".join(render_to_string("mailing/paid_subject.txt", context).split())
    send_mail(subject, render_to_string("mailing/paid.txt", context), None, [settings.COMPANY_EMAIL])
