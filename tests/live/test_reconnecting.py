"""Hundreds of pages lose their server at once, and must not come back at once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.live import servers
from tests.live.conftest import Start
from tests.live.servers import ROOT
from tests.live.waiting import TIMEOUT

CLIENTS = 300

# eventcast.js in Node: a browser opens no more than 255 sockets to one host. Prints how many are open, and then, when
# all are back after they were lost, the milliseconds from the loss to each try and to each return.
SCRIPT = """\
globalThis.WebSocket = require("ws");
const eventcast = require(process.argv[3]);
const count = +process.argv[4], tries = [], returns = [];
let open = 0, lost = 0;
for (let number = 0; number < count; number++)
  eventcast(process.argv[2] + "/" + number).on("error", () => 0).on("state", (state) => {
    const now = Date.now();
    if (state == "waiting") lost ||= now;
    if (state == "connecting" && lost) tries.push(now - lost);
    if (state != "open") return;
    open++;
    if (lost) returns.push(now - lost);
    if (open == count) console.log(open);
    if (open == 2 * count) console.log(JSON.stringify({ tries, returns }));
  });
"""


def busiest(moments: list[int], span: int) -> int:
    """The most of them, in milliseconds, that any stretch of that length has."""
    return max(sum(start <= moment < start + span for moment in moments) for start in moments)


@pytest.mark.slow
@pytest.mark.alone
async def test_clients_come_back_spread_over_time(
    start: Start, node_folder: Path, record_property: Callable[[str, object], None]
) -> None:
    server = start(servers.daphne)
    script = node_folder / "reconnecting.js"
    script.write_text(SCRIPT)
    client = ROOT / "eventcast/static/eventcast/eventcast.js"
    process = await asyncio.create_subprocess_exec(
        "node", str(script), server.url, str(client), str(CLIENTS), cwd=node_folder, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        assert int(await asyncio.wait_for(process.stdout.readline(), TIMEOUT)) == CLIENTS
        server.kill()
        server.process.wait()
        start(servers.daphne, "-p", str(server.port))
        found = json.loads(await asyncio.wait_for(process.stdout.readline(), 60))
    finally:
        process.kill()
        await process.communicate()

    tries, returns = sorted(found["tries"]), sorted(found["returns"])
    seconds = [
        sum(second <= moment / 1000 < second + 1 for moment in returns) for second in range(returns[-1] // 1000 + 1)
    ]
    record_property("clients that returned, second by second", seconds)
    record_property("clients that returned in the busiest 100 ms", busiest(returns, 100))
    record_property("tries", len(tries))
    record_property("milliseconds from the loss to the first and the last try", (tries[0], tries[-1]))
    record_property("tries in the busiest 100 ms", busiest(tries, 100))
    assert len(returns) == CLIENTS
    assert tries[0] >= 500
    # Evenly spread over 3.5 s they are 9 in 100 ms; the bound leaves room for a machine that stumbles.
    assert busiest(tries, 100) < CLIENTS / 5
    assert returns[-1] - returns[0] > 2000
