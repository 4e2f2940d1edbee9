"""Remote calls to all live processes: each returns its counts, or does something. A function
that can be called so is a *question*.

With a channel layer of one process, or of another project, only this process is called.
"""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from eventcast.engine.background import BackgroundLoop
from eventcast.engine.hub import running_loop
from eventcast.layers import get_layer
from eventcast.layers.cluster import ClusterLayer, connections

Answering = TypeVar("Answering", bound=Callable[..., Any])

_questions: dict[str, Callable[..., Any]] = {}
_slow: set[str] = set()
_background = BackgroundLoop("eventcast.questions")


def question(function: Answering) -> Answering:
    """Register a function as a question, by its name.

    It takes keyword arguments; they and the result have JSON types. It is called on an event loop.
    """
    _questions[function.__name__] = function
    return function


def slow_question(function: Answering) -> Answering:
    """The same for functions that take long with many channels. They are called in a thread."""
    _slow.add(function.__name__)
    return question(function)


@dataclass(frozen=True)
class Answers:
    """The answers of the processes."""

    found: list[Any]
    """One answer of each process; the first is that of this process."""
    missing: int = 0
    """Live processes that did not answer within 250 ms."""
    scope: str = "process"
    """``"process"`` if only this process was asked, else ``"all"``."""
    degraded: bool = False
    """Whether the bus between the processes is broken."""

    def as_json(self) -> dict[str, Any]:
        """Which processes the answers cover, as part of a JSON object."""
        found: dict[str, Any] = {"scope": self.scope}
        if self.missing:
            found |= {"partial": True, "missing": self.missing}
        return found | {"degraded": True} if self.degraded else found


def own_name() -> str:
    """The name of this process among all processes; empty if only this process is asked."""
    layer = get_layer()
    return layer.id if isinstance(layer, ClusterLayer) else ""


def _connect(layer: ClusterLayer) -> None:
    for name in _questions:
        layer.answer(name, functools.partial(_answer, name), in_thread=name in _slow)


connections.append(_connect)


def _answer(name: str, asked: dict[str, Any]) -> Any:
    found = _questions[name](**asked)
    # As bytes, because the layer would decode a long answer on the event loop.
    return json.dumps(found).encode() if name in _slow else found


def _read(found: list[Any]) -> list[Any]:
    return [json.loads(each) if isinstance(each, bytes) else each for each in found]


async def ask(name: str, /, **asked: Any) -> Answers:
    """Ask all live processes, and wait for answers for at most 250 ms."""
    layer = get_layer()
    if not isinstance(layer, ClusterLayer):
        return Answers([_questions[name](**asked)])
    found, missing = await layer.ask(name, asked)
    if name in _slow:
        found = await asyncio.to_thread(_read, found)
    return Answers(found, missing, "all", layer.degraded)


def ask_now(name: str, /, **asked: Any) -> Answers:
    """The same for synchronous code. In a running event loop, which must not wait, only this process is asked."""
    if not isinstance(get_layer(), ClusterLayer) or running_loop() is not None:
        return Answers([_questions[name](**asked)])
    return _background.run(ask(name, **asked))


def tell(name: str, /, **asked: Any) -> Any:
    """Ask all processes in the background. Returns this process's answer. Safe in any thread."""
    if isinstance(get_layer(), ClusterLayer):
        _background.start(ask(name, **asked))
    return _questions[name](**asked)
