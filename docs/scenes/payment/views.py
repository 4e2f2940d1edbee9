from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from payment.forms import OrderForm
from payment.orders import pay


def checkout(request: HttpRequest) -> HttpResponse:
    """The form of an order; a POST pays it."""
    form = OrderForm(request.POST or None, label_suffix="")
    if form.is_valid():
        key = pay(form.cleaned_data)
        messages.success(request, f"Order {key} is paid. Thank you, {form.cleaned_data['name']}.")
        return redirect("payment:pay")
    return render(request, "payment/checkout.html", {"form": form})
