"""nginx in front of servers, with the configuration that docs/deployment.md shows."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.live.servers import ROOT, Server, free_port

DOCUMENT = ROOT / "docs" / "deployment.md"

AROUND = """\
{user}worker_processes 1;
daemon off;
pid {directory}/nginx.pid;
error_log stderr notice;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
{documented}
}}
"""


def documented(port: int, sockets: Sequence[Path]) -> str:
    """The documented configuration, for a port of this machine and without TLS."""
    found = re.search(r"```nginx\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert found, DOCUMENT
    text = found[1]
    for old, new in {
        "server unix:/run/eventcast/socket;": " ".join(f"server unix:{socket};" for socket in sockets),
        "listen 443 ssl;": f"listen 127.0.0.1:{port};",
        "server_name events.example.com;": "server_name localhost;",
    }.items():
        assert text.count(old) == 1, f"{old} is no longer documented"
        text = text.replace(old, new)
    return text


def nginx(log: Path, *sockets: Path) -> Server:
    """nginx that passes on to servers on these Unix sockets."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        pytest.skip("nginx is not installed")
    port, directory = free_port(), log.parent / f"nginx-{time.monotonic_ns()}"
    directory.mkdir()
    configuration = directory / "nginx.conf"
    # Started by root it would give up the right to enter the folders of the tests.
    user = "" if os.geteuid() else "user root;\n"
    configuration.write_text(AROUND.format(user=user, directory=directory, documented=documented(port, sockets)))
    return Server([program, "-p", str(directory), "-c", str(configuration)], "start worker process ", log, port=port)
