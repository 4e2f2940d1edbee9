"""The server keeps RFC 6455, as a conformance suite sees it on a channel that echoes what is said."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.live import servers
from tests.live.conftest import Start
from tests.live.servers import ROOT

# 1 to 7 and 10: frames, pings, reserved bits, opcodes, fragments, UTF-8, closing, automatic fragmentation. There is no
# 8 and no 11, 9 measures speed, 12 and 13 are about compression. Six cases take a second each, so they are spread.
GROUPS = [
    "1.*,2.*,3.*,4.*,7.*,10.*",
    "5.*",
    "6.1.*,6.2.*,6.3.*,6.4.1,6.4.2",
    "6.4.3,6.4.4," + ",".join(f"6.{number}.*" for number in range(5, 24)),
]
CASES = 247
GOOD = {"OK", "NON-STRICT", "INFORMATIONAL"}


@pytest.mark.parametrize(("kind", "transport"), [("serve", "auto"), ("daphne", "auto"), ("daphne", "asgi")])
def test_server_passes_every_case_of_the_suite(kind: str, transport: str, start: Start) -> None:
    server = start(getattr(servers, kind), env={"EVENTCAST_WEBSOCKET_PUBLISH": "1", "EVENTCAST_TRANSPORT": transport})
    finished = subprocess.run(
        [sys.executable, "-m", "tests.live.conformance", f"ws://127.0.0.1:{server.port}/echo", *GROUPS],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    verdicts = json.loads(finished.stdout)
    assert {case: found for case, found in verdicts.items() if not GOOD.issuperset(found)} == {}
    assert len(verdicts) == CASES
