"""VisDA-2017: 207,785 images of twelve classes: drawn from 3D models, and cropped from photographs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from transferlab.data.contract import Found, Settings
from transferlab.data.files import by_hand
from transferlab.data.pictures.folder import Sized, pictures

COUNTS = {"synthetic": 152397, "real": 55388}
FOLDERS = {"synthetic": "train", "real": "validation"}


@dataclass
class Config(Sized):
    """VisDA-2017, classification (Peng, Usman, Kaushik, Hoffman, Wang, Saenko 2017); no licence is stated."""

    domain: Literal["synthetic", "real"] = "synthetic"
    """synthetic: the challenge's training domain; real: its validation domain."""


def find(options: Config, settings: Settings) -> Found:
    """A fixed share of each class, a fifth by default, is for testing."""
    origin = "with a folder of images for each class; from https://ai.bu.edu/visda-2017"
    places = ("visda2017", "visda17", "VisDA2017", "VisDA-2017", "visda-2017")
    (root,) = by_hand("visda2017", places, [(FOLDERS[options.domain],)], settings, origin)
    return pictures("visda2017", root, options, COUNTS[options.domain], domain=options.domain)
