"""Runs cases of a conformance suite for RFC 6455 against a server, in a process of its own: ``… URL CASES [CASES…]``.

The cases of one argument (such as ``1.*,2.*``) run one after the other on a channel of their own, on which they hear
nothing but their own echo; those of different arguments run at the same time. Prints each case's verdicts, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys

import kosoku


async def run(url: str, cases: list[str]) -> list[kosoku.CaseResult]:
    try:
        return await kosoku.run_fuzzingclient(url, cases)
    except kosoku.FailureError as failure:
        return failure.results


async def main(url: str, *groups: str) -> None:
    runs = [run(f"{url}/{number}", group.split(",")) for number, group in enumerate(groups)]
    results = {result.case_id: result for found in await asyncio.gather(*runs) for result in found}
    # The suite gives a server a second to answer and to hang up, which may be too little on a busy machine.
    if missed := [case for case, result in results.items() if not result.passed]:
        results |= {result.case_id: result for result in await run(f"{url}/again", missed)}
    print(json.dumps({case: [found.behavior.value, found.behavior_close.value] for case, found in results.items()}))


asyncio.run(main(*sys.argv[1:]))
sys.stdout.flush()
os._exit(0)  # Its threads abort the process now and then when they are ended.
