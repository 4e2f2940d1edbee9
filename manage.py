#!/usr/bin/env python3
"""Django's command line for the standalone server: ``manage.py eventcast serve``, ``manage.py createsuperuser``, …"""

from __future__ import annotations

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "eventcast_project.settings")
    try:
        from django.core.exceptions import ImproperlyConfigured
        from django.core.management import execute_from_command_line
    except ImportError:
        sys.exit("Django is missing: use the Python of the virtual environment, as in .venv/bin/python manage.py")
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        # Nearly always a wrong environment variable. The message is enough, and a traceback would hide it.
        sys.exit(f"Configuration error: {error}")


if __name__ == "__main__":
    main()
