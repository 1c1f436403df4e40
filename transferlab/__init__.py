"""transferlab: the map of transfer learning, run from the command line.

From Python: ``transferlab.run(words)``, ``transferlab.record(folder)``, ``transferlab.load(folder)``.
"""

import logging
import os
from typing import Any

__version__ = "0.1.0"

# Threads that wait for each other spin for a while and then sleep. libgomp, which torch brings on Linux and which reads
# this as it is loaded, spins for milliseconds: on a core that another process wants as well, that is time the thread
# being waited for does not get, and two threads become three times as slow as one. So short a spin costs an idle
# machine nothing. See benchmarks/threads.py.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")

# What is said before a run has its log would otherwise go to the terminal, twice.
logging.getLogger(__name__).addHandler(logging.NullHandler())


def __getattr__(name: str) -> Any:
    """The Python face, imported when it is asked for: it loads torch."""
    if name in ("run", "record", "load"):
        from transferlab import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
