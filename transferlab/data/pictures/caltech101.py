"""Caltech-101: 8,677 photographs of objects in 101 classes, of many sizes."""

from __future__ import annotations

from dataclasses import dataclass

from transferlab.data.contract import Found, Settings
from transferlab.data.files import by_hand
from transferlab.data.pictures.folder import Sized, pictures

COUNT = 8677


@dataclass
class Config(Sized):
    """Caltech-101 (Fei-Fei, Fergus, Perona 2004), without its class of background; no licence is stated."""


def find(options: Config, settings: Settings) -> Found:
    """A fifth of each class, the same in every run, is for testing."""
    choices = [("101_ObjectCategories",), ("accordion", "airplanes")]
    origin = "a folder of images for each class; from https://data.caltech.edu/records/mzrjq-6wc02"
    found = by_hand("caltech101", ("caltech101", "caltech-101", "Caltech101"), choices, settings, origin)
    root = found[0] if len(found) == 1 else found[0].parent
    return pictures("caltech101", root, options, COUNT, without="BACKGROUND_Google")
