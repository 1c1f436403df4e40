"""DomainNet: 586,575 images of 345 classes in six domains, from clip art to sketches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from transferlab.data.contract import Found, Settings
from transferlab.data.files import at_hand, by_hand
from transferlab.data.pictures._list import read_lists
from transferlab.data.pictures.folder import Sized, of_tree, pictures

COUNTS = {
    "clipart": 48129, "infograph": 51605, "painting": 72266, "quickdraw": 172500, "real": 172947, "sketch": 69128,
}  # fmt: skip
"""Of the version that the authors have freed of repeats."""
ORIGINAL = {
    "clipart": 48837, "infograph": 53201, "painting": 75759, "quickdraw": 172500, "real": 175327, "sketch": 70386,
}  # fmt: skip
PLACES = ("domainnet", "DomainNet", "domain_net")
LISTS = ("", "splits/", "image_list/")
"""Where the authors' lists are kept."""


@dataclass
class Config(Sized):
    """DomainNet (Peng, Bai, Xia, Huang, Saenko, Wang, ICCV 2019); for research, not for sale."""

    domain: Literal["clipart", "infograph", "painting", "quickdraw", "real", "sketch"] = "clipart"
    """Which of the six."""


def find(options: Config, settings: Settings) -> Found:
    """The authors' training and test lists divide it, where they are there; else a share of each class is tested on."""
    domain = options.domain
    origin = "with a folder of images for each class, and the lists beside it; from https://ai.bu.edu/M3SDA"
    choices = [(domain, f"{place}{domain}_train.txt", f"{place}{domain}_test.txt") for place in LISTS]
    listed = [] if settings.edition == "sample" else at_hand(PLACES, choices, settings)
    root, *lists = listed or by_hand("domainnet", PLACES, [(domain,)], settings, origin)
    if not lists:
        return pictures("domainnet", root, options, COUNTS[domain], domain=domain)
    tree = read_lists(root.parent, dict(zip(("train", "test"), lists, strict=True)), by_folder=True)
    count = len(tree.files)
    whole = count if count in (COUNTS[domain], ORIGINAL[domain]) else COUNTS[domain]
    return of_tree("domainnet", tree, options, whole, domain=domain)
