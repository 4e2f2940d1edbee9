from __future__ import annotations

import os
from typing import Any

from channels.generic.websocket import AsyncJsonWebsocketConsumer, AsyncWebsocketConsumer


class EchoConsumer(AsyncWebsocketConsumer):
    """The site's own socket: says who it thinks you are, then whatever you say."""

    async def connect(self) -> None:
        await self.accept()
        await self.send(text_data=str(self.scope["user"]))

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await self.send(text_data=text_data, bytes_data=bytes_data)


class RoomConsumer(AsyncJsonWebsocketConsumer):
    """The site's chat: what one says, all hear; what one says to the name of another's channel, that one hears."""

    groups = ("room",)

    async def connect(self) -> None:
        await self.accept()
        await self.send_json({"process": os.getpid(), "channel": self.channel_name})

    async def receive_json(self, content: dict[str, Any], **options: Any) -> None:
        message = {"type": "say", "text": content["text"]}
        if "to" in content:
            await self.channel_layer.send(content["to"], message)
        else:
            await self.channel_layer.group_send("room", message)

    async def say(self, message: dict[str, Any]) -> None:
        await self.send_json(message["text"])
