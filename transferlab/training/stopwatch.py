"""A run's working time, as recorded."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Stopwatch:
    """Seconds spent on the method's own work: training and closed forms, without evaluation."""

    def __init__(self) -> None:
        self._total = 0.0
        self._since: float | None = None

    @property
    def seconds(self) -> float:
        return self._total + (time.perf_counter() - self._since if self._since is not None else 0.0)

    @seconds.setter
    def seconds(self, total: float) -> None:
        self._total = total

    @contextmanager
    def running(self) -> Iterator[None]:
        self._since = time.perf_counter()
        try:
            yield
        finally:
            self._total, self._since = self.seconds, None

    @contextmanager
    def paused(self) -> Iterator[None]:
        was_running = self._since is not None
        self._total, self._since = self.seconds, None
        yield
        self._since = time.perf_counter() if was_running else None
