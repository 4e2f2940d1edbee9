"""Finds listeners: imports ``listeners.py`` of the installed apps."""

from __future__ import annotations

import importlib
import traceback
from collections.abc import Iterable

from django.apps import AppConfig, apps
from django.utils.module_loading import module_has_submodule

from eventcast.exceptions import BrokenListeners
from eventcast.listeners.registry import registry

MODULE = "listeners"


def discover(configs: Iterable[AppConfig] | None = None) -> list[BrokenListeners]:
    """Import the listeners of apps; returns an error for each module that cannot be imported.

    An error does not end the search. (Django's ``autodiscover_modules`` ends with the first error.)

    :param configs: the apps; default: all that are installed.
    """
    found = []
    for config in apps.get_app_configs() if configs is None else configs:
        if config.module is None or not module_has_submodule(config.module, MODULE):
            continue
        name = f"{config.name}.{MODULE}"
        try:
            importlib.import_module(name)
        except Exception as error:
            registry.discard_unimported()
            # The text of a SyntaxError would repeat the place.
            text = error.msg if isinstance(error, SyntaxError) else error
            broken = BrokenListeners(f"{_place(error, name)}: {type(error).__name__}: {text}".rstrip(": "))
            broken.__cause__ = error
            found.append(broken)
    return found


def _place(error: Exception, name: str) -> str:
    """The file and line of the module's last statement, even if an imported module raised the error."""
    if isinstance(error, SyntaxError) and error.filename:  # that file did not run
        return f"{error.filename}, line {error.lineno}"
    places = [
        f"{frame.f_code.co_filename}, line {line}"
        for frame, line in traceback.walk_tb(error.__traceback__)
        if frame.f_globals.get("__name__") == name
    ]
    return places[-1] if places else name
