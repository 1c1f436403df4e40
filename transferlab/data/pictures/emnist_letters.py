"""EMNIST letters: 124,800 + 20,800 handwritten letters, 28x28 grey, upper and lower case together."""

from __future__ import annotations

import string
from dataclasses import dataclass

from transferlab.data.contract import Found, Settings
from transferlab.data.files import Remote
from transferlab.data.pictures import _idx
from transferlab.data.pictures._glyphs import described
from transferlab.data.selection import Selection

CLASSES = tuple(string.ascii_uppercase)
SPLITS = {
    split: (f"emnist-letters-{split}-images-idx3-ubyte.gz", f"emnist-letters-{split}-labels-idx1-ubyte.gz")
    for split in ("train", "test")
}
# NIST publishes one archive of all splits, half a gigabyte: to be fetched and unpacked by hand.
FILES: dict[str, Remote | None] = dict.fromkeys(file for pair in SPLITS.values() for file in pair)


@dataclass
class Config(Selection):
    """EMNIST, split letters (Cohen, Afshar, Tapson, van Schaik 2017): labels 1 to 26 are A to Z."""


def find(options: Config, settings: Settings) -> Found:
    """See :func:`transferlab.data.find`."""
    folders = ("emnist-letters", "EMNIST/raw", "emnist_letters", "emnist")
    # The files hold every image transposed.
    upright = lambda images: images.transpose(0, 2, 1)  # noqa: E731
    found = _idx.find(
        "emnist_letters", folders, SPLITS, FILES, CLASSES, settings, (124_800, 20_800), first_label=1, arrange=upright
    )
    return described(found)
