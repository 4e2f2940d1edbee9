#!/usr/bin/env python3
"""Django's command line for the scenes: ``manage.py eventcast serve``, ``manage.py pay``, …"""

from __future__ import annotations

import os
import sys
from pathlib import Path

# In a clone eventcast is not installed: it is two folders up.
sys.path.append(str(Path(__file__).resolve().parents[2]))

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "scenes.settings")
    execute_from_command_line(sys.argv)
