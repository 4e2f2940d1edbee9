"""Questions to other processes, each open until all have answered or its time is over."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from typing import Any

TIMEOUT = 0.25
"""Seconds that the answers may take."""


class Question:
    """A question to other processes. A subclass defines what happens when it is over."""

    __slots__ = ("answers", "arrived", "expected", "number")

    def __init__(self) -> None:
        self.number = 0
        self.answers: list[Any] = []
        self.arrived = 0
        """Processes that have answered, or have turned out to be this one."""
        self.expected: int | None = None
        """Number of processes that got the question; None until that is known."""

    def over(self) -> None:
        """All have answered, or time has run out."""
        raise NotImplementedError


class Questions:
    """The open questions of this process by their numbers. On one event loop."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._open: dict[int, Question] = {}
        self._ending: deque[tuple[float, Question]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def open(self, question: Question) -> int:
        """The number of a question. Answers may come from now on, even before it is known how many to expect."""
        question.number = number = next(self._numbers) & 0xFFFFFFFF
        self._open[number] = question
        return number

    def add(self, number: int, *answers: Any) -> None:
        """Note an answer of a process, or that this process got its own question. Late answers are dropped."""
        question = self._open.get(number)
        if question is None:
            return
        question.arrived += 1
        question.answers += answers
        if question.arrived == question.expected:
            self.end(question)

    def expect(self, question: Question, expected: int) -> None:
        """Note how many processes got a question."""
        question.expected = expected
        if question.arrived >= expected:
            self.end(question)

    def limit(self, question: Question) -> None:
        """End a question in :data:`TIMEOUT` seconds, unless it is over before."""
        if question.number not in self._open:
            return
        loop = asyncio.get_running_loop()
        # One timer for all: most questions are over long before.
        self._ending.append((loop.time() + TIMEOUT, question))
        if self._timer is None:
            self._timer = loop.call_later(TIMEOUT, self._check, loop)

    def close(self, question: Question) -> None:
        """Forget a question."""
        self._open.pop(question.number, None)

    def end(self, question: Question) -> None:
        """End a question that is still open."""
        if self._open.pop(question.number, None) is not None:
            question.over()

    def _check(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        now = loop.time()
        while self._ending:
            ends, question = self._ending[0]
            if question.number in self._open and ends > now:
                self._timer = loop.call_at(ends, self._check, loop)
                return
            self._ending.popleft()
            self.end(question)
