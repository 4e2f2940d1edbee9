"""Publishing and subscribing from Python, as a client of a server elsewhere::

    from eventcast.client import publish, subscribe

    publish("http://127.0.0.1:8000/orders/42", {"paid": True})

    async with subscribe("http://127.0.0.1:8000/orders/42") as messages:
        async for message in messages:  # str or bytes, as it was published
            ...

    with subscribe("http://127.0.0.1:8000/orders/42") as messages:  # the same without asyncio
        for message in messages:
            ...

    with beat("http://127.0.0.1:8000/heartbeat/logserver"):  # publishes a beat every 5 seconds
        ...

The client needs no Django project. Subscribing needs the package websockets, which ``eventcast[client]`` installs.
"""

from typing import TYPE_CHECKING, Any

from eventcast.client.beating import Beat, beat
from eventcast.client.publishing import Publisher, apublish, publish
from eventcast.client.reconnecting import State
from eventcast.client.targets import channel_url, pattern_url

if TYPE_CHECKING:
    from eventcast.client.subscribing import AsyncMessages, Messages, Subscription, subscribe

__all__ = [
    "AsyncMessages",
    "Beat",
    "Messages",
    "Publisher",
    "State",
    "Subscription",
    "apublish",
    "beat",
    "channel_url",
    "pattern_url",
    "publish",
    "subscribe",
]


def __getattr__(name: str) -> Any:
    # Imported on first use: a program that only publishes does not need websockets.
    if name in __all__:
        from eventcast.client import subscribing

        return getattr(subscribing, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
