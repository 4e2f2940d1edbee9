"""Several authorizations, each for some paths."""

from __future__ import annotations

import functools
from collections.abc import Awaitable

from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest

from eventcast.conf import conf
from eventcast.engine import patterns
from eventcast.engine.patterns import Pattern
from eventcast.exceptions import Forbidden
from eventcast.security.authorization import asking, grants
from eventcast.security.authorization.base import Action, Authorization, ByAction, described
from eventcast.security.authorization.permits import Permit

ACTIONS = ("publish", "subscribe")


class Rules(ByAction):
    """The first of ``EVENTCAST["RULES"]`` that matches the path says which authorization decides. A path that no rule
    matches is closed.

    A pattern of channels has to be covered by one rule, and allowed by each rule before it that may have a channel in
    common with it.
    """

    uses_database = False

    def __init__(self) -> None:
        self._rules = [(patterns.parse(pattern), _deciders(value)) for pattern, value in conf.RULES]
        named = [each for _, rule in self._rules for each in rule.values() if each is not None]
        self.uses_cookies = any(each.uses_cookies for each in named)
        """Whether one of them does."""
        self.told_by_head = all(each.told_by_head for each in named)

    def permit(self, action: Action, request: HttpRequest, wanted: str | Pattern) -> Permit | Awaitable[Permit]:
        """The permit of the authorizations that decide about the channel, or about all channels of the pattern. It is
        there at once where that waits for nothing."""
        deciders = self.deciders(action, wanted)
        if not deciders:
            raise Forbidden("No rule allows a client to {action}.", action=described(action, wanted))
        (first, *others) = deciders
        if not others and isinstance(first, ByAction) and not first.uses_database:
            return first.permit(action, request, wanted)
        return _permit_of_all(deciders, action, request, wanted)

    def deciders(self, action: Action, wanted: str | Pattern) -> list[Authorization]:
        """Those of the rules that decide; none where one of these rules allows nothing."""
        asked = [rule[action] for rule in grants.deciding(self._rules, wanted)]
        found = [each for each in asked if each is not None]
        return found if len(found) == len(asked) else []

    @classmethod
    def problems(cls) -> list[str]:
        """What is wrong with ``EVENTCAST["RULES"]``, or with the settings of the classes that it names."""
        if found := grants.problems_of_entries("RULES", conf.RULES, functools.partial(_problems, cls)):
            return found
        named = dict.fromkeys(path for _, value in conf.RULES for path in _paths(value).values() if path is not None)
        return [problem for path in named for problem in asking.find(path).problems()]


async def _permit_of_all(
    deciders: list[Authorization], action: Action, request: HttpRequest, wanted: str | Pattern
) -> Permit:
    permit = Permit()
    for authorization in dict.fromkeys(deciders):
        found = asking.ask(authorization, action, request, wanted)
        permit &= found if isinstance(found, Permit) else await found
    return permit


def _paths(value: object) -> dict[str, str | None]:
    """The dotted path for each action that a rule's second half means."""
    if isinstance(value, dict):
        return {action: value.get(action) for action in ACTIONS}
    return dict.fromkeys(ACTIONS, str(value))


def _deciders(value: object) -> dict[str, Authorization | None]:
    """The authorization that decides about each action; None refuses it."""
    return {action: None if path is None else asking.instance(path) for action, path in _paths(value).items()}


def _problems(rules: type[Rules], rule: object) -> list[str]:
    if not isinstance(rule, list | tuple) or len(rule) != 2:
        return ["not a pair, such as ('/orders/<path:any>', 'eventcast.authorization.Keys')."]
    pattern, value = rule
    found = grants.problems([pattern])
    if not isinstance(value, str | dict):
        return [*found, "the second is a class' dotted path, or a dict of them by 'publish' and 'subscribe'."]
    if isinstance(value, dict) and (unknown := {*value} - {*ACTIONS}):
        found.append(f"{', '.join(map(repr, unknown)):.50}: known are 'publish' and 'subscribe'.")
    for path in dict.fromkeys(_paths(value).values()):
        try:
            if path is not None and issubclass(asking.find(path), rules):
                found.append("a rule cannot name Rules itself.")
        except ImproperlyConfigured as error:
            found.append(str(error))
    return found
