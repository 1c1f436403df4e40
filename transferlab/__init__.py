"""transferlab: the map of transfer learning, run from the command line."""

__version__ = "0.1.0"
