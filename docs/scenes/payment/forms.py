from __future__ import annotations

from decimal import Decimal

from django import forms


class OrderForm(forms.Form):
    """An order, from the page or from the command ``pay``."""

    name = forms.CharField(max_length=100, initial="Ada Lovelace", widget=forms.TextInput({"autocomplete": "name"}))
    amount = forms.DecimalField(
        min_value=Decimal("0.01"), max_digits=10, decimal_places=2, initial=Decimal("365.00"), label="Amount, in euros"
    )
    address = forms.CharField(
        max_length=200, initial="12 St James's Square, London", widget=forms.TextInput({"autocomplete": "off"})
    )
    phone = forms.RegexField(
        r"^\+?[0-9 ]{3,20}$",
        initial="+44 20 5550 0199",
        widget=forms.TextInput({"type": "tel", "autocomplete": "tel"}),
        error_messages={"invalid": "Enter digits and spaces, such as +44 20 5550 0199."},
    )
    email = forms.EmailField(
        initial="ada@example.com", label="E-mail", widget=forms.EmailInput({"autocomplete": "email"})
    )

    def clean_amount(self) -> Decimal:
        amount: Decimal = self.cleaned_data["amount"]
        return amount.quantize(Decimal("0.01"))
