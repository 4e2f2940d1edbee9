from __future__ import annotations

from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from tests.site.shop.models import Order
from tests.site.shop.tasks import pack as pack_later


@csrf_exempt  # what calls it is a payment service, not a browser
@login_not_required
@require_POST
def pay(request: HttpRequest, number: int) -> HttpResponse:
    Order.objects.update_or_create(number=number, defaults={"state": "paid"})
    if number == 0:
        raise Http404("There is no such order: the transaction is rolled back.")
    return HttpResponse("thank you")


@require_POST
def pack(request: HttpRequest, number: int) -> HttpResponse:
    pack_later.delay(number)
    return HttpResponse("soon")
