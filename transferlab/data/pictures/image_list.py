"""Your own images by lists: a line for each image, its path and its label."""

from __future__ import annotations

from dataclasses import dataclass

from transferlab.data.contract import Found, Settings
from transferlab.data.pictures._list import read_lists, read_names
from transferlab.data.pictures.folder import Sized, of_tree
from transferlab.errors import require
from transferlab.files import expanded
from transferlab.options import place


@dataclass
class Config(Sized):
    """Images that a text file lists, a line for each: its path, then its label, a whole number from 0 or a name.

    A path may hold spaces. Blank lines, and those that begin with #, are passed over.
    """

    file: str = place()
    """The list."""
    test_file: str = place()
    """A list of images for testing; '': a share of those of file, as test_fraction says."""
    root: str = place()
    """The folder that the paths begin at; '': that of the list."""
    names: str = place()
    """A text file with a class's name on each line, of which labels are the places from 0; '': numbers are names."""


def find(options: Config, settings: Settings) -> Found:
    """See :func:`transferlab.data.find`."""
    require(options.file != "", "image_list: say which list, with source.file=… or target.file=…")
    given = {"file": options.file, "test_file": options.test_file, "names": options.names}
    paths = {key: expanded(value) for key, value in given.items() if value}
    for key, path in paths.items():
        require(path.is_file(), f"{key}={path}: no such file")
    root = expanded(options.root) if options.root else paths["file"].parent
    require(root.is_dir(), f"root={root}: no such folder")
    names = read_names(paths["names"]) if "names" in paths else []
    lists = {split: paths[key] for split, key in (("train", "file"), ("test", "test_file")) if key in paths}
    tree = read_lists(root, lists, names)
    return of_tree("image_list", tree, options)
