"""A site as cookiecutter-django makes it, with the three edits of eventcast's README."""

from __future__ import annotations
