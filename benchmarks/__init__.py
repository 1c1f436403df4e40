"""Speed, in comparison."""

import transferlab  # noqa: F401  before torch, whose threads wait as it says
