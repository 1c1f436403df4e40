"""PACS: 9,991 photographs, paintings, cartoons and sketches of seven classes: four domains of objects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from transferlab.data.contract import Found, Settings
from transferlab.data.files import by_hand
from transferlab.data.pictures.folder import Sized, pictures

COUNTS = {"art_painting": 2048, "cartoon": 2344, "photo": 1670, "sketch": 3929}


@dataclass
class Config(Sized):
    """PACS (Li, Yang, Song, Hospedales, ICCV 2017); no licence is stated."""

    domain: Literal["art_painting", "cartoon", "photo", "sketch"] = "photo"
    """Which of the four."""


def find(options: Config, settings: Settings) -> Found:
    """A fifth of each class, the same in every run, is for testing."""
    origin = "with a folder of images for each class; from https://sketchx.eecs.qmul.ac.uk"
    (root,) = by_hand("pacs", ("pacs", "PACS", "PACS/kfold"), [(options.domain,)], settings, origin)
    return pictures("pacs", root, options, COUNTS[options.domain], domain=options.domain)
