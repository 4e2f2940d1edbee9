"""The server's processes, as Linux shows them in ``/proc``: which they are, their CPU time and their memory."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Collection, Iterator
from pathlib import Path

try:
    import resource
except ImportError:  # Windows, where there is no benchmark, but the other sub-commands are
    resource = None  # type: ignore[assignment]

LISTEN = "0A"
"""The state of a listening socket in ``/proc/net/tcp``."""

PROC = Path("/proc")


def listeners(port: int) -> set[int]:
    """The processes that listen on a TCP port and may be looked at; empty if there are none."""
    sockets = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    return {pid for pid in _processes() if sockets and sockets & _links(PROC / str(pid) / "fd")}


def _listening_inodes(port: int) -> Iterator[str]:
    for table in ("tcp", "tcp6"):
        try:
            lines = (PROC / "net" / table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            (
                _,
                local,
                _,
                state,
                *_,
            ) = fields = line.split()
            if state == LISTEN and int(local.rpartition(":")[2], 16) == port:
                yield fields[9]


def _links(directory: Path) -> set[str]:
    found = set()
    with contextlib.suppress(OSError):  # The process is gone, or somebody else's.
        for name in os.listdir(directory):
            with contextlib.suppress(OSError):  # The file has just been closed.
                found.add(os.readlink(directory / name))
    return found


def _processes() -> list[int]:
    return [int(entry) for entry in os.listdir(PROC) if entry.isdigit()]


def _stat(pid: int) -> list[str] | None:
    """The fields of ``/proc/PID/stat`` from the third on (proc(5)); None if there is no such process."""
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


class Server:
    """The processes of a server: the given ones and their descendants, whichever there are at the time.

    :param pids: never empty.
    """

    def __init__(self, pids: Collection[int]) -> None:
        self.pids = frozenset(pids)

    def family(self) -> set[int]:
        """The process ids now."""
        children: dict[int, list[int]] = {}
        for pid in _processes():
            stat = _stat(pid)
            if stat is not None:
                children.setdefault(int(stat[1]), []).append(pid)
        found: set[int] = set()
        todo = list(self.pids)
        while todo:
            pid = todo.pop()
            if pid not in found and (PROC / str(pid)).exists():
                found.add(pid)
                todo += children.get(pid, [])
        return found

    def cpu(self) -> float:
        """Seconds of CPU time used so far, by the kernel for them too. Children that have ended are included."""
        ticks = 0
        for pid in self.family():
            stat = _stat(pid)
            if stat is not None:
                ticks += sum(map(int, stat[11:15]))
        return ticks / os.sysconf("SC_CLK_TCK")

    def memory(self) -> int:
        """Bytes of memory, pages that several processes share counted once."""
        return sum(map(_memory, self.family()))


def _memory(pid: int) -> int:
    try:
        found = re.search(r"^Pss:\s+(\d+) kB", (PROC / str(pid) / "smaps_rollup").read_text(), re.MULTILINE)
        if found:
            return int(found[1]) * 1024
    except OSError:
        pass
    try:  # It belongs to somebody else: what is shared is counted for each.
        return int((PROC / str(pid) / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def raise_open_files() -> int:
    """Let this process and those it starts open as many files as the system allows; returns how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):
            hard = soft
    return 1 << 30 if hard == resource.RLIM_INFINITY else hard
