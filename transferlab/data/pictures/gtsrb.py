"""GTSRB: 39,209 + 12,630 photographs of German traffic signs in 43 classes."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from transferlab.data.archives import Paths
from transferlab.data.arrays import read_arrays
from transferlab.data.content import digest, remembered
from transferlab.data.contract import IMAGES, Dataset, Found, Labels, Settings
from transferlab.data.files import by_hand, provenance
from transferlab.data.pictures._images import check, rgb
from transferlab.data.selection import Selection
from transferlab.errors import UserError, require

CLASSES = (
    "speed_limit_20", "speed_limit_30", "speed_limit_50", "speed_limit_60", "speed_limit_70", "speed_limit_80",
    "end_of_speed_limit_80", "speed_limit_100", "speed_limit_120", "no_overtaking", "no_overtaking_by_trucks",
    "priority_at_next_crossing", "priority_road", "yield", "stop", "no_vehicles", "no_trucks", "no_entry", "danger",
    "curve_left", "curve_right", "double_curve", "bumpy_road", "slippery_road", "road_narrows", "road_works",
    "traffic_lights", "pedestrians", "children", "bicycles", "ice", "wild_animals", "end_of_all_limits",
    "turn_right_ahead", "turn_left_ahead", "ahead_only", "ahead_or_right", "ahead_or_left", "keep_right", "keep_left",
    "roundabout", "end_of_no_overtaking", "end_of_no_overtaking_by_trucks",
)  # fmt: skip
"""In the order of the official numbers, 0 to 42."""
COUNT = 39_209 + 12_630
FOLDERS = ("gtsrb", "GTSRB", "gtsrb/GTSRB")
CHOICES = [("Final_Training/Images", "Final_Test/Images"), ("Training", "Final_Test/Images"), ("train.npz", "test.npz")]


@dataclass
class Config(Selection):
    """German Traffic Sign Recognition Benchmark (Stallkamp et al., Neural Networks 32, 2012); for research."""

    crop: Literal["whole", "roi"] = "whole"
    """whole: with the border of about a tenth around the sign; roi: the sign's annotated box alone."""
    size: int = 40
    """Height and width that images are brought to, in pixels; their shape is not kept, as in most papers."""
    split: Literal["official", "random_images"] = "official"
    """official: the training set, and a test set of other tracks. random_images: four fifths of the training images,
    and the rest for testing, as Ganin et al. 2016 (31,367 and 7,842): other frames of the same tracks, nearly alike."""

    def __post_init__(self) -> None:
        require(8 <= self.size <= 256, f"gtsrb.size={self.size}: allowed is 8 to 256 pixels")


@dataclass(frozen=True)
class Row:
    """What a table says of an image: its box is x1, y1, x2, y2 in pixels; track is -1 where it is not told."""

    path: Path
    box: tuple[int, int, int, int]
    label: int
    track: int


def find(options: Config, settings: Settings) -> Found:
    """The official folders with their tables, or train.npz and test.npz as :func:`_read` describes them.

    A track is some 30 frames of one sign, and a group of its own.
    """
    origin = "images, and GT-final_test.csv beside them; from https://benchmark.ini.rub.de"
    paths = by_hand("gtsrb", FOLDERS, CHOICES, settings, origin)
    packed = paths[0].suffix == ".npz"
    places = dict(zip(("train", "test"), paths, strict=True))
    tables = {split: [path] if packed else _tables(path, split) for split, path in places.items()}
    count = sum(_count(path) for paths in tables.values() for path in paths)
    edition = "full" if count == COUNT and not packed else f"subset-{count}"
    random = options.split == "random_images"
    beside = [] if packed else tables["test"]

    def check_all() -> None:
        _check(places, tables)

    content = digest([*paths, *beside], check=check_all)

    def of_split(split: str) -> Labels:
        part = "train" if random else split
        labels, tracks = _labels(tuple(tables[part]), places[part], part)
        if random:
            labels = labels[_random_rows(split, len(labels))]
        # Where images are parted at random, so are those for validation.
        by_track = split == "train" and not random
        return Labels(labels, np.unique(labels * 100_000 + tracks, return_inverse=True)[1] if by_track else None)

    def load(split: str) -> Dataset:
        part, known = "train" if random else split, of_split(split)
        images = (_arrays_of if packed else _files_of)(places[part], tables[part], options)
        if random:
            images = images[_random_rows(split, len(images))]
        settings = {"crop": options.crop, "size": options.size, "protocol": options.split}
        record = provenance("gtsrb", edition, split, len(images), tables[part], **settings)
        return Dataset(images, known.labels, CLASSES, record, groups=known.groups)

    shape = (3, options.size, options.size)
    return Found("gtsrb", edition, CLASSES, IMAGES, shape, load, content, labels=of_split)


def _random_rows(split: str, count: int) -> np.ndarray:
    """The rows, in order, that random_images gives to ``split``: four fifths of ``count`` images, or the rest."""
    rows = np.random.default_rng(0).permutation(count)
    return np.sort(np.split(rows, [count * 4 // 5])[split == "test"])


def _check(places: Mapping[str, Path], tables: Mapping[str, list[Path]]) -> None:
    """Raise :class:`UserError` for all that is wrong in either part, whatever the options."""
    for part, place in places.items():
        if place.suffix == ".npz":
            _read(place, part)
        else:
            check(row.path for table in tables[part] for row in _rows(table, place))
        labels, _ = _labels(tuple(tables[part]), place, part)
        first = tables[part][0]
        require(len(labels) > 0, f"{first}: names no images")
        low, high = labels.min(), labels.max()
        require(low >= 0 and high < len(CLASSES), f"{first}: labels {low} to {high}, allowed are 0 to 42")


@remembered(maxsize=4)
def _labels(tables: Paths, place: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """int64 [N] labels and tracks."""
    if place.suffix == ".npz":
        arrays = read_arrays(place, ["labels", *(["track"] if part == "train" else [])])
        labels = arrays["labels"].astype(np.int64)
        return labels, arrays.get("track", np.zeros(len(labels))).astype(np.int64)
    rows = [(row.label, row.track) for table in tables for row in _rows(table, place)]
    labels, tracks = np.array(rows, np.int64).reshape(-1, 2).T
    return labels, tracks


def _read(path: Path, part: str) -> dict[str, np.ndarray]:
    """images uint8 [N, H, W, 3], all resized to one size, labels [N], track [N] for training, and original_size [N, 2],
    width and height, to which roi [N, 4] refers.
    """
    arrays = read_arrays(path, ["images", "labels", "original_size", "roi", *(["track"] if part == "train" else [])])
    images = arrays["images"]
    fits = images.dtype == np.uint8 and images.ndim == 4 and images.shape[3] == 3 and len(images) > 0
    require(fits, f"{path}: images are {images.dtype} {images.shape} instead of uint8 (N, H, W, 3)")
    for key in arrays.keys() - {"images"}:
        require(len(arrays[key]) == len(images), f"{path}: {key} has {len(arrays[key])} rows, images {len(images)}")
    return arrays


def _arrays_of(path: Path, tables: list[Path], options: Config) -> np.ndarray:
    """uint8 [N, 3, size, size], from one of the files that :func:`_read` describes."""
    arrays = _read(path, "test")
    images = arrays["images"]
    height, width = images.shape[1:3]
    scale = np.array([width, height, width, height]) / np.tile(arrays["original_size"], 2)
    boxes = arrays["roi"] * scale if options.crop == "roi" else np.tile([0, 0, width, height], (len(images), 1))
    small = [_fit(image, box, options.size, path) for image, box in zip(images, boxes.tolist(), strict=True)]
    return np.stack(small)


def _files_of(folder: Path, tables: list[Path], options: Config) -> np.ndarray:
    """As :func:`_arrays_of`, from the official files."""
    rows = [row for table in tables for row in _rows(table, folder)]
    images = []
    for row in rows:
        image = np.asarray(rgb(row.path, row.path))
        box = row.box if options.crop == "roi" else (0, 0, image.shape[1], image.shape[0])
        images.append(_fit(image, box, options.size, row.path))
    return np.stack(images)


def _fit(image: np.ndarray, box: tuple[float, float, float, float], size: int, where: Path) -> np.ndarray:
    """uint8 [3, size, size] of what is in ``box`` of uint8 [H, W, 3]."""
    from PIL import Image

    try:
        small = Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR, box=box)
    except ValueError as error:
        raise UserError(f"{where}: a sign's box {box} does not fit the image ({error})") from None
    return np.asarray(small).transpose(2, 0, 1)


def _tables(folder: Path, split: str) -> list[Path]:
    if split == "train":
        tables = sorted(folder.glob("[0-9]*/GT-*.csv"))
        require(len(tables) == len(CLASSES), f"{folder}: has {len(tables)} of 43 tables 000xx/GT-000xx.csv")
        return tables
    # The official archive has the test labels apart from the images.
    places = [folder.joinpath(*[".."] * up, "GT-final_test.csv").resolve() for up in range(4)]
    found = [path for path in places if path.is_file()][:1]
    require(bool(found), f"{folder}: lacks GT-final_test.csv, the table with the labels")
    return found


def _count(path: Path) -> int:
    """Images in a table or an .npz file."""
    if path.suffix == ".npz":
        return len(read_arrays(path, ["labels"])["labels"])
    return path.read_bytes().strip().count(b"\n")


def _rows(table: Path, folder: Path) -> Iterator[Row]:
    """The rows of a table Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId, of images called track_frame."""
    here = table.parent if table.parent.parent == folder else folder
    try:
        with table.open(newline="") as file:
            for row in csv.DictReader(file, delimiter=";"):
                x1, y1, x2, y2 = (int(row[f"Roi.{key}"]) for key in ("X1", "Y1", "X2", "Y2"))
                name = row["Filename"]
                track = int(name.partition("_")[0]) if "_" in name else -1
                yield Row(here / name, (x1, y1, x2, y2), int(row["ClassId"]), track)
    except (OSError, UnicodeDecodeError, csv.Error, KeyError, TypeError, ValueError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise UserError(f"{table}: not a table Filename;Width;Height;Roi.X1;…;ClassId ({reason})") from None
