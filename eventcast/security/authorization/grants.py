"""Patterns of paths in the settings: grants, which allow each path that one of their patterns matches, and ordered
lists, where the first entry that matches decides."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

from django.http import HttpRequest

from eventcast.engine import patterns
from eventcast.engine.patterns import Pattern, Segment
from eventcast.exceptions import Forbidden, Refused, Sentence
from eventcast.security.authorization.base import Action, ByAction, described
from eventcast.security.authorization.permits import Permit

Item = TypeVar("Item")


class Grant(NamedTuple):
    """What a key or a token allows."""

    name: str
    """The name of its owner; empty if it has none."""
    publish: tuple[Pattern, ...]
    subscribe: tuple[Pattern, ...]
    expires_at: float | None = None
    """Seconds since the epoch; None if it does not expire."""


class Granting(ByAction):
    """An authorization by something that the client sends, such as a key."""

    uses_cookies = False
    uses_database = False
    told_by_head = True
    kind = Sentence("")
    """What the client sends, as refusals and ``Permit.identity`` name it."""

    def grant_of(self, request: HttpRequest) -> Grant:
        """What the client may do by what it has sent; raises ``Unauthorized`` where that is nothing good."""
        raise NotImplementedError

    def permit(self, action: Action, request: HttpRequest, wanted: str | Pattern) -> Permit:
        grant = self.grant_of(request)
        if not any(covers(pattern, wanted) for pattern in getattr(grant, action)):
            owner = f" {grant.name!r:.100}" if grant.name else ""
            raise Forbidden(
                "The {kind}{owner} may not {action}.", kind=self.kind, owner=owner, action=described(action, wanted)
            )
        return Permit(grant.name, grant.expires_at, (), f"{self.kind} {grant.name}" if grant.name else "")


def parse(texts: Iterable[str]) -> tuple[Pattern, ...]:
    """The patterns that some texts spell out, see :func:`eventcast.engine.patterns.parse`."""
    return tuple(map(patterns.parse, texts))


def covers(pattern: Pattern, wanted: str | Pattern) -> bool:
    """Whether a pattern matches a channel, or for sure every channel of another pattern."""
    return pattern.covers(wanted) if isinstance(wanted, Pattern) else pattern.matches(wanted)


def problems(texts: object) -> list[str]:
    """What is wrong with a list of patterns in the settings: a sentence each."""
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        return ["not a list of paths, such as ['/orders/<path:any>']."]
    found = []
    for text in texts:
        try:
            patterns.parse(text)
        except Refused as refusal:
            found.append(refusal.detail)
    return found


def problems_of_entries(
    name: str, entries: object, problems: Callable[[Any], list[str]], fields: Collection[str] = ()
) -> list[str]:
    """What is wrong with the entries of a setting: a sentence each.

    :param problems: tells what is wrong with one of them.
    :param fields: the fields of each, if they are dicts.
    """
    if not isinstance(entries, list | tuple):
        return [f"EVENTCAST[{name!r}] is a list."]
    found = []
    for number, entry in enumerate(entries):
        wrong = [key for key in entry if key not in fields] if isinstance(entry, dict) else type(entry)
        if fields and wrong:
            said = [f"a dict with {', '.join(fields)}; {wrong!r:.100} is none of that."]
        else:
            said = problems(entry)
        found += [f"EVENTCAST[{name!r}][{number}]: {problem}" for problem in said]
    return found


def deciding(entries: Sequence[tuple[Pattern, Item]], wanted: str | Pattern) -> list[Item]:
    """The entries that decide about a channel, or about all channels of a pattern; each of them has to allow it.

    For a channel that is the first entry that matches. For a pattern it is the first entry that covers it, and all
    entries before that may have a channel in common with it. Where no single entry covers the pattern there is none.
    """
    found: list[Item] = []
    for pattern, entry in entries:
        if covers(pattern, wanted):
            return [*found, entry]
        if isinstance(wanted, Pattern) and not disjoint(pattern, wanted):
            found.append(entry)
    return []


def disjoint(one: Pattern, other: Pattern) -> bool:
    """Whether no channel matches both for sure. False where that cannot be told."""
    for mine, theirs in zip(one.segments, other.segments, strict=False):
        if "path" in (mine.kind, theirs.kind):
            # What comes behind it is anything: only what stands before it can tell them apart.
            return not _one_begins_the_other(mine.before, theirs.before)
        if _segments_disjoint(mine, theirs):
            return True
    return len(one.segments) != len(other.segments)


def _segments_disjoint(one: Segment, other: Segment) -> bool:
    if not one.kind:
        return not other.matches(one.before)
    if not other.kind:
        return not one.matches(other.before)
    return not (
        _one_begins_the_other(one.before, other.before) and _one_begins_the_other(one.after[::-1], other.after[::-1])
    )


def _one_begins_the_other(one: str, other: str) -> bool:
    return one.startswith(other) or other.startswith(one)
