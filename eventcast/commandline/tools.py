"""Every tool there is."""

from __future__ import annotations

from eventcast.commandline import Tool
from eventcast.commandline.beat import Beat
from eventcast.commandline.channels import Channels
from eventcast.commandline.publish import Publish
from eventcast.commandline.subscribe import Subscribe
from eventcast.commandline.watchdog import Watchdog

TOOLS: tuple[type[Tool], ...] = (Publish, Subscribe, Channels, Watchdog, Beat)
