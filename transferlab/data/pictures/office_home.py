"""Office-Home: 15,588 images of 65 everyday objects: artworks, clip art, products and photographs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from transferlab.data.contract import Found, Settings
from transferlab.data.files import by_hand
from transferlab.data.pictures.folder import Sized, pictures

COUNTS = {"art": 2427, "clipart": 4365, "product": 4439, "real_world": 4357}
FOLDERS = {
    "art": ["Art", "art"],
    "clipart": ["Clipart", "clipart"],
    "product": ["Product", "product"],
    "real_world": ["Real World", "RealWorld", "Real_World", "real_world"],
}
"""What each is called: by the authors first, then elsewhere."""
PLACES = ("office_home", "OfficeHome", "office-home", "Office-Home", "OfficeHomeDataset_10072016")


@dataclass
class Config(Sized):
    """Office-Home (Venkateswara, Eusebio, Chakraborty, Panchanathan, CVPR 2017); for research and teaching."""

    domain: Literal["art", "clipart", "product", "real_world"] = "art"
    """Which of the four."""


def find(options: Config, settings: Settings) -> Found:
    """A fixed share of each class, a fifth by default, is for testing."""
    choices = [(folder,) for folder in FOLDERS[options.domain]]
    origin = "with a folder of images for each class; from https://www.hemanthdv.org/officeHomeDataset.html"
    (root,) = by_hand("office_home", PLACES, choices, settings, origin)
    return pictures("office_home", root, options, COUNTS[options.domain], domain=options.domain)
