"""transferlab: the map of transfer learning, run from the command line."""

import logging

__version__ = "0.1.0"

# What is said before a run has its log would otherwise go to the terminal, twice.
logging.getLogger(__name__).addHandler(logging.NullHandler())
