"""Mails the company about each payment: its own process, and no line of the payment's code."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.mail import send_mail
from django.template.loader import render_to_string

from eventcast import listener


@listener("/eventcast/user/<str:key>")
def mail_the_company(order: dict[str, Any], key: str) -> None:
    """A mail to the company for an order that is paid."""
    context = {"order": order, "key": key}
    # A name with a line break in it must not make a header of its own.
    subject = " ".join(render_to_string("mailing/paid_subject.txt", context).split())
    send_mail(subject, render_to_string("mailing/paid.txt", context), None, [settings.COMPANY_EMAIL])
