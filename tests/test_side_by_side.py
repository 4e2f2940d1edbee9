"""Which tests may run beside each other. Two locks of one process exclude each other as those of two processes do."""

from __future__ import annotations

import fcntl
import threading
from pathlib import Path

from tests.side_by_side import locked, turn


def is_free(path: Path, kind: int) -> bool:
    try:
        with locked(path, kind | fcntl.LOCK_NB):
            return True
    except BlockingIOError:
        return False


def test_tests_run_beside_each_other(tmp_path: Path) -> None:
    with turn(tmp_path, alone=False):
        assert is_free(tmp_path / "room.lock", fcntl.LOCK_SH)
        assert is_free(tmp_path / "door.lock", fcntl.LOCK_EX)


def test_test_marked_alone_waits_for_others(tmp_path: Path) -> None:
    with turn(tmp_path, alone=False):
        assert not is_free(tmp_path / "room.lock", fcntl.LOCK_EX)


def test_test_marked_alone_keeps_others_out(tmp_path: Path) -> None:
    with turn(tmp_path, alone=True):
        assert not is_free(tmp_path / "room.lock", fcntl.LOCK_SH)
    assert is_free(tmp_path / "room.lock", fcntl.LOCK_SH)


def test_no_test_begins_while_one_waits_to_be_alone(tmp_path: Path) -> None:
    def be_alone() -> None:
        with turn(tmp_path, alone=True):
            pass

    waiting = threading.Thread(target=be_alone)
    with turn(tmp_path, alone=False):
        waiting.start()
        while is_free(tmp_path / "door.lock", fcntl.LOCK_EX):
            assert waiting.is_alive()
    waiting.join()


def test_only_process_never_waits() -> None:
    with turn(None, alone=True), turn(None, alone=True):
        pass
