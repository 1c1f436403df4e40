"""VLCS: 10,729 photographs of five classes from four data sets: Caltech-101, LabelMe, SUN09, PASCAL VOC 2007."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

from transferlab.data.contract import Found, Settings
from transferlab.data.files import by_hand
from transferlab.data.pictures._tree import read_tree
from transferlab.data.pictures.folder import Sized, of_tree

COUNTS = {"caltech101": 1415, "labelme": 2656, "sun09": 3282, "voc2007": 3376}
FOLDERS = {
    "caltech101": ["Caltech101", "CALTECH", "caltech"],
    "labelme": ["LabelMe", "LABELME", "labelme"],
    "sun09": ["SUN09", "SUN", "sun"],
    "voc2007": ["VOC2007", "PASCAL", "pascal"],
}
"""What each is called: in DomainBed, and where it is divided into train/, crossval/ and test/."""
CLASSES = ("bird", "car", "chair", "dog", "person")
"""In the order of their numbers, as which folders may be called."""


@dataclass
class Config(Sized):
    """VLCS (Fang, Xu, Rockmore, ICCV 2013); no licence is stated."""

    domain: Literal["caltech101", "labelme", "sun09", "voc2007"] = "caltech101"
    """Which of the four."""


def find(options: Config, settings: Settings) -> Found:
    """Divided as its folders are, crossval/ unused, where it has train/ and test/; else a share is for testing."""
    choices = [(folder,) for folder in FOLDERS[options.domain]]
    origin = "with a folder of images for each class, as https://github.com/facebookresearch/DomainBed has it"
    (root,) = by_hand("vlcs", ("vlcs", "VLCS"), choices, settings, origin)
    tree = read_tree(root)
    if set(tree.classes) <= {str(label) for label in range(len(CLASSES))}:
        named = {
            split: {CLASSES[int(label)]: files for label, files in part.items()} for split, part in tree.images.items()
        }
        tree = dataclasses.replace(tree, images=named)
    return of_tree("vlcs", tree, options, COUNTS[options.domain], domain=options.domain)
