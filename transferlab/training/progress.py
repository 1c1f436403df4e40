"""What a person sees of training."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Mapping
from typing import Any

from tqdm import tqdm

log = logging.getLogger(__name__)


class Progress:
    """A bar where there is a terminal, a line now and then where there is none."""

    def __init__(self, stage: str, steps: int, first: int):
        self.stage, self.steps = stage, steps
        self.bar = tqdm(total=steps, initial=first, desc=stage, unit="step") if has_room() else None
        self.started, self.first, self.next_line = time.monotonic(), first, 0.0
        self.accuracies: dict[str, float] = {}
        """The last ones that were measured."""

    def update(self, step: int, row: Mapping[str, Any], images_per_second: float) -> None:
        shown = {k.removeprefix("loss/"): v for k, v in row.items() if k.startswith("loss/")}
        self.accuracies |= {k: row[k] for k in ("source_accuracy", "target_accuracy") if k in row}
        text = "  ".join(f"{name} {value:.3f}" for name, value in (shown | self.accuracies).items())
        if self.bar is not None:
            self.bar.update(step - self.bar.n)
            self.bar.set_postfix_str(f"{text}  {images_per_second:,.0f} images/s")
            return
        now = time.monotonic()
        if now >= self.next_line or step == self.steps or "target_accuracy" in row:
            left = (now - self.started) / max(step - self.first, 1) * (self.steps - step)
            log.info(
                "%s %d/%d  %s  %.0f images/s  %.0f s left", self.stage, step, self.steps, text, images_per_second, left
            )
            self.next_line = now + 10

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()


def has_room() -> bool:
    """Whether there is a terminal with room for a bar: one in a container may have no size, and would show nothing."""
    return sys.stderr.isatty() and min(os.get_terminal_size(sys.stderr.fileno())) > 0
