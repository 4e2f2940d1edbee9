"""The processes of a server: their CPU time and their memory, as Linux shows them."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from pathlib import Path


class Processes:
    """The given processes and the processes that these have started.

    :raises ProcessLookupError: one of the given processes does not exist.
    """

    def __init__(self, pids: Collection[int]) -> None:
        self._pids = pids
        for pid in pids:
            if not Path(f"/proc/{pid}").exists():
                raise ProcessLookupError(f"There is no process {pid}.")

    def cpu(self) -> float:
        """Seconds of CPU time that the processes have used, in the kernel too."""
        return sum(time.clock_gettime(_cpu_clock(pid)) for pid in self._family())

    def memory(self) -> int:
        """Bytes of memory that belong to the processes alone: without files that are mapped."""
        found = 0
        for pid in self._family():
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            found += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Anonymous:"))
        return found

    def _family(self) -> Iterator[int]:
        waiting = list(self._pids)
        while waiting:
            pid = waiting.pop()
            yield pid
            for children in Path(f"/proc/{pid}/task").glob("*/children"):
                waiting += map(int, children.read_text().split())


def _cpu_clock(pid: int) -> int:
    """The clock of a process's CPU time, as clock_getcpuclockid(3) makes it. /proc has it in steps of 10 ms only."""
    return (~pid << 3) | 2
