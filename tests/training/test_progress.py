import contextlib
import fcntl
import logging
import os
import pty
import struct
import sys
import termios

import pytest

from transferlab.training.progress import Progress


def shown(progress):
    progress.update(2, {"loss/label": 1.5, "source_accuracy": 0.25, "target_accuracy": 0.5}, 1000.0)
    progress.update(4, {"loss/label": 0.5}, 2000.0)
    progress.close()


def everything(terminal: int) -> str:
    """What was written to a terminal whose other end is closed."""
    text = b""
    with contextlib.suppress(OSError):  # its end
        while piece := os.read(terminal, 10_000):
            text += piece
    return text.decode()


@pytest.mark.parametrize(("rows", "bar"), [(40, True), (0, False)])
def test_a_bar_on_a_terminal_with_room_else_lines(monkeypatch, caplog, rows, bar):
    caplog.set_level(logging.INFO, logger="transferlab")
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, 150, 0, 0))
    with os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        progress = Progress("adapt", 4, 0)
        assert (progress.bar is not None) == bar
        if bar:
            progress.bar.mininterval = 0
        shown(progress)
        monkeypatch.undo()
    text = everything(ours) if bar else caplog.text
    os.close(ours)
    for part in ("adapt", "label 0.500", "source_accuracy 0.250", "target_accuracy 0.500", "2,000 images/s"):
        assert part.replace(",", "" if not bar else ",") in text
