"""What connects publishers and hubs: the channel layer that eventcast uses, and those that it brings."""

from __future__ import annotations

import importlib
import threading
from typing import Any

from channels import layers as channels_layers

from eventcast.conf import conf, setting_of_django
from eventcast.layers.memory import InMemoryChannelLayer, LayerStatistics

__all__ = ["InMemoryChannelLayer", "LayerStatistics", "get_layer", "is_local", "use_between_workers"]


def __getattr__(name: str) -> Any:
    if name == "RedisChannelLayer":  # It needs packages that one process does without.
        return importlib.import_module("eventcast.layers.redis").RedisChannelLayer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


_default_layer: channels_layers.BaseChannelLayer = InMemoryChannelLayer()
# Channels' manager would make two layers when two threads ask for the first time. The lock is reentrant, because making
# a layer imports its module, which may call get_layer().
_layers_lock = threading.RLock()


def get_layer() -> channels_layers.BaseChannelLayer:
    """The channel layer eventcast uses: ``CHANNEL_LAYERS[conf.CHANNEL_LAYER]``, or one of its own if there is none.

    Its own layer is the same for the whole process. Channels does not know it, so that nothing changes for the rest of
    the site.
    """
    alias, made = conf.CHANNEL_LAYER, channels_layers.channel_layers.backends
    layer: channels_layers.BaseChannelLayer | None = made.get(alias)
    if layer is not None:
        return layer
    if alias not in setting_of_django("CHANNEL_LAYERS", {}):
        return _default_layer
    with _layers_lock:
        return channels_layers.channel_layers[alias]


def is_local() -> bool:
    """Whether the channel layer reaches this process only."""
    return isinstance(get_layer(), channels_layers.InMemoryChannelLayer)


def use_between_workers(layer: channels_layers.BaseChannelLayer) -> None:
    """Use a layer of all workers of this machine in place of each layer that reaches one process only.

    Consumers of the site that use such a layer, too, then reach those of all workers.
    """
    global _default_layer
    _default_layer = layer
    for alias in setting_of_django("CHANNEL_LAYERS", {}):
        configured = channels_layers.channel_layers[alias]
        # Another subclass of Channels' layer may bring messages to other processes.
        if isinstance(configured, InMemoryChannelLayer) or type(configured) is channels_layers.InMemoryChannelLayer:
            channels_layers.channel_layers.set(alias, layer)
