"""``manage.py eventcast publish``, ``subscribe`` and the like: the tools of ``eventcast.commandline``."""

from __future__ import annotations

import argparse
from typing import Any, ClassVar

from django.core.management import CommandError

from eventcast import commandline
from eventcast.commandline.beat import Beat
from eventcast.commandline.channels import Channels
from eventcast.commandline.publish import Publish
from eventcast.commandline.subcommand import Subcommand
from eventcast.commandline.subscribe import Subscribe
from eventcast.commandline.watchdog import Watchdog
from eventcast.conf import conf


class Remote(Subcommand):
    """Runs a tool with the server and the exit codes that all of them have."""

    tool: ClassVar[type[commandline.Tool]]

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        commandline.add_arguments(cls.tool, parser, "EVENTCAST['URL'] of the settings")

    def handle(self, **options: Any) -> None:
        try:
            commandline.run(self.tool, conf.URL, options)
        except commandline.Failed as failure:
            raise CommandError(str(failure), returncode=failure.exit_code) from failure


class PublishSubcommand(Remote):
    __doc__ = Publish.__doc__
    name = Publish.name
    tool = Publish


class SubscribeSubcommand(Remote):
    __doc__ = Subscribe.__doc__
    name = Subscribe.name
    tool = Subscribe


class ChannelsSubcommand(Remote):
    __doc__ = Channels.__doc__
    name = Channels.name
    tool = Channels


class WatchdogSubcommand(Remote):
    __doc__ = Watchdog.__doc__
    name = Watchdog.name
    tool = Watchdog


class BeatSubcommand(Remote):
    __doc__ = Beat.__doc__
    name = Beat.name
    tool = Beat


REMOTE: tuple[type[Subcommand], ...] = (
    PublishSubcommand,
    SubscribeSubcommand,
    ChannelsSubcommand,
    WatchdogSubcommand,
    BeatSubcommand,
)
