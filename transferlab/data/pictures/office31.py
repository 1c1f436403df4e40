"""Office-31: 4,110 images of 31 objects of the office: from a shop, a web camera and a reflex camera."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from transferlab.data.contract import Found, Settings
from transferlab.data.files import by_hand
from transferlab.data.pictures.folder import Sized, pictures

COUNTS = {"amazon": 2817, "dslr": 498, "webcam": 795}


@dataclass
class Config(Sized):
    """Office-31 (Saenko, Kulis, Fritz, Darrell, ECCV 2010); no licence is stated."""

    domain: Literal["amazon", "dslr", "webcam"] = "amazon"
    """Which of the three."""


def find(options: Config, settings: Settings) -> Found:
    """A fixed share of each class, a fifth by default, is for testing."""
    choices = [(options.domain,), (f"{options.domain}/images",)]
    origin = "with a folder of images for each class; from https://faculty.cc.gatech.edu/~judy/domainadapt"
    (root,) = by_hand("office31", ("office31", "office", "Office-31"), choices[::-1], settings, origin)
    return pictures("office31", root, options, COUNTS[options.domain], domain=options.domain)
