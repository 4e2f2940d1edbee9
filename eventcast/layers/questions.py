"""Questions to other processes, each open until all have answered or its time is over."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

TIMEOUT = 0.25
"""Seconds that the answers may take."""


class _Question:
    __slots__ = ("answers", "arrived", "done", "expected")

    def __init__(self) -> None:
        self.answers: list[Any] = []
        self.arrived = 0
        """Processes that have answered, or have turned out to be this one."""
        self.expected: int | None = None
        self.done: asyncio.Future[None] | None = None


class Questions:
    """The open questions of this process by their numbers. On one event loop."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._open: dict[int, _Question] = {}

    def open(self) -> int:
        """The number of a new question. Answers may come from now on, even before it is known how many to expect."""
        number = next(self._numbers) & 0xFFFFFFFF
        self._open[number] = _Question()
        return number

    def add(self, number: int, *answers: Any) -> None:
        """A process has answered; without an answer: it was this one. Too late is too late."""
        question = self._open.get(number)
        if question is None:
            return
        question.arrived += 1
        question.answers += answers
        if question.done is not None and question.expected == question.arrived and not question.done.done():
            question.done.set_result(None)

    async def wait(self, number: int, expected: int, timeout: float = TIMEOUT) -> tuple[list[Any], int]:
        """The answers, and how many are missing. Closes the question.

        :param expected: how many processes have got the question.
        """
        question = self._open[number]
        try:
            if question.arrived < expected:
                loop = asyncio.get_running_loop()
                question.expected, question.done = expected, loop.create_future()
                timer = loop.call_later(timeout, self._end, question.done)
                try:
                    await question.done
                finally:
                    timer.cancel()
            return question.answers, max(expected - question.arrived, 0)
        finally:
            self.close(number)

    def close(self, number: int) -> None:
        """Forget a question."""
        self._open.pop(number, None)

    @staticmethod
    def _end(done: asyncio.Future[None]) -> None:
        if not done.done():
            done.set_result(None)
