"""What lies in a folder of images: classes, training and test part, and what is neither."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from transferlab.data.pictures._images import folders_of, images_in, is_image, is_system
from transferlab.errors import UserError, printable, require, some, unreadable

SPLITS = {
    "train": frozenset({"train", "training", "trn", "trainset"}),
    "test": frozenset({"test", "testing", "tst", "testset", "eval", "evaluation"}),
    "validation": frozenset({"val", "valid", "validation", "crossval", "dev", "development"}),
}
"""What people call the parts of a data set, in whatever case."""

CONTAINERS = frozenset({"data", "dataset", "image", "images", "img", "imgs", "photos", "pictures"})
"""What people call a folder that holds a data set, and hardly a class."""


@dataclass(frozen=True)
class Tree:
    """images: of each split, each class and in order; "train" alone where the folder is not divided.

    passed: files and folders that are no part of the data. told: what else there is to say. named: whether the
    files' places say their classes and splits. divided: what says which images are for testing, if anything does.
    """

    root: Path
    images: Mapping[str, Mapping[str, Sequence[Path]]]
    passed: Sequence[Path] = ()
    told: str = ""
    named: bool = True
    divided: str = ""

    @property
    def files(self) -> list[Path]:
        """Every image."""
        return [path for part in self.images.values() for files in part.values() for path in files]

    def name(self, path: Path) -> str:
        """Where in the folder ``path`` is."""
        return printable(path.relative_to(self.root).as_posix())

    @property
    def remark(self) -> str:
        """What was passed over, and what else there is to say, in a few words."""
        if not self.passed:
            return self.told
        folders = sum(path.is_dir() for path in self.passed)
        parts = [(len(self.passed) - folders, "file"), (folders, "folder")]
        counts = " and ".join(f"{count} {kind}{'s' * (count > 1)}" for count, kind in parts if count)
        passed = f"{counts} passed over: {some([self.name(path) + '/' * path.is_dir() for path in self.passed])}"
        return ", ".join(filter(None, (self.told, passed)))

    @property
    def classes(self) -> tuple[str, ...]:
        """Of all splits, in order."""
        return tuple(self.images["train"])

    @property
    def labels(self) -> dict[Path, int]:
        """Of each image, which of the classes it is of."""
        return {
            path: label for part in self.images.values() for label, files in enumerate(part.values()) for path in files
        }

    @property
    def listing(self) -> list[tuple[str, str, str]]:
        """Of each image its name, split and class."""
        return [(self.name(path), split, each) for split, part in self.images.items()
                for each, files in part.items() for path in files]  # fmt: skip


def read_tree(root: Path, without: Collection[str] = (), named: Collection[str] | None = None) -> Tree:
    """root/<class>/…/*.png, or root/train/<class>/… and root/test/<class>/…, for which val/ stands where it is alone.

    without: folders that are no classes. named: classes that the user has named, which settles what they are.
    Raises :class:`UserError`, which says what is there and what to do, where it is neither.
    """
    folders, passed = _children(root, root, without)
    seen = folders_of(root)
    parts = _parts(root, folders, seen)
    if not parts:
        _refuse_domains(root, folders, named or (), seen)
        classes, more = _classes(root, folders, 2, seen)
        return Tree(root, {"train": classes}, sorted(passed + more))
    told, unused = _role_of_validation(folders, parts)
    passed += [folder for folder in folders if folder not in parts.values() and folder not in unused]
    inner = {split: _inner(folder) for split, folder in parts.items()}
    seen = seen.union(*map(folders_of, inner.values()))
    images = {}
    for split, folder in inner.items():
        of_split, more = _children(folder, root, without)
        _refuse_domains(folder, of_split, named or (), seen)
        images[split], passed_there = _classes(folder, of_split, 1, seen)
        passed += more + passed_there
    missing = sorted(set(images["train"]) ^ set(images["test"]))
    there = " and ".join(f"{folder.name}/" for folder in parts.values())
    require(not missing, f"{root}: class {', '.join(missing)} is in only one of {there}")
    return Tree(root, images, sorted(passed), told, divided=there)


def _children(folder: Path, root: Path, without: Collection[str] = ()) -> tuple[list[Path], list[Path]]:
    """The folders in ``folder`` that may hold data, and what else there is, links back to it or ``root`` included."""
    try:
        there = sorted(folder.iterdir())
        folders = [
            path
            for path in there
            if not is_system(path.name)
            and path.name not in without
            and path.is_dir()
            and not (path.is_symlink() and any(one.resolve().is_relative_to(path.resolve()) for one in (folder, root)))
        ]
    except OSError as error:
        unreadable(error)
    kept = set(folders)
    return folders, [path for path in there if path not in kept]


def _flat(folder: Path, seen: set[Path]) -> bool:
    """Whether most of a folder's images lie in it directly; a stray one among sub-folders decides nothing."""
    if not _children(folder, folder)[0]:
        return True
    images, _ = images_in(folder, set(seen))
    direct = sum(path.parent == folder for path in images)
    return direct > len(images) - direct


def _inner(folder: Path) -> Path:
    """``folder``, or where its sub-folders are that hold all its images, if it is wrapped in single folders."""
    folders, _ = _children(folder, folder)
    wrapped = len(folders) == 1 and bool(_children(folders[0], folder)[0]) and not _flat(folder, folders_of(folder))
    return _inner(folders[0]) if wrapped else folder


def _split_of(folder: Path) -> str | None:
    """Which part of a data set a folder is called as: Train, seg_test, trainImages."""
    words = {word.casefold() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", folder.name)}
    called = [split for split, names in SPLITS.items() if names & words]
    return called[0] if len(called) == 1 else None


def _plain(folder: Path) -> bool:
    return any(folder.name.casefold() in names for names in SPLITS.values())


def _parts(root: Path, folders: Sequence[Path], seen: set[Path]) -> dict[str, Path]:
    """The folders of the training and test part, or the validation part in its place; none where they are classes.

    A class may be called train; but then its images lie in it directly, and no class is called test.
    """
    called = {folder: split for folder in folders if (split := _split_of(folder))}
    flat = [folder for folder in called if _flat(folder, seen)]
    divided = [folder for folder in called if folder not in flat]
    plainly = [folder for folder in flat if _plain(folder)]
    if len({called[folder] for folder in plainly}) > 1 and not divided:
        there = " and ".join(f"{folder.name}/" for folder in plainly)
        raise UserError(f"{root}: {there} hold images, but a folder for each class is needed in them")
    if not any(map(_plain, divided)) and len({called[folder] for folder in divided}) < 2:
        return {}  # train_station/ and the like
    of_split = {split: [folder for folder in divided if called[folder] == split] for split in SPLITS}
    names = ", ".join(f"{folder.name}/" for folder in divided)
    if not of_split["test"]:
        of_split["test"] = of_split["validation"]
    whole = len(of_split["train"]) == len(of_split["test"]) == 1
    advice = f"say root={(of_split['train'] or divided)[0]} to have a share of that kept for testing"
    require(whole, f"{root}: has {names} with classes in it; both train/ and test/ are needed, one of each: {advice}")
    return {split: of_split[split][0] for split in ("train", "test")}


def _role_of_validation(folders: Sequence[Path], parts: Mapping[str, Path]) -> tuple[str, list[Path]]:
    """What becomes of a validation part, in a few words, and the folders of such that are not read."""
    if _split_of(parts["test"]) == "validation":
        return f"{parts['test'].name}/ is for testing, as there is no test/", []
    unused = [folder for folder in folders if _split_of(folder) == "validation" and folder not in parts.values()]
    names = ", ".join(f"{folder.name}/" for folder in unused)
    train, test = (f"{parts[split].name}/" for split in ("train", "test"))
    return f"{names} unused: {train} is learned from, {test} tested on" if unused else "", unused


def _refuse_domains(root: Path, folders: Sequence[Path], named: Collection[str], seen: set[Path]) -> None:
    """Refuse a folder of which most parts hold the same classes, or that holds the data set: it is a level too high."""
    if set(named) == {printable(folder.name) for folder in folders}:
        return
    divided = [folder for folder in folders if not _flat(folder, seen)]
    inside = {folder: {path.name.casefold() for path in _children(_inner(folder), root)[0]} for folder in divided}
    classes = f"if classes, say so with classes=[{','.join(printable(folder.name) for folder in folders)}]"
    for folder, names in inside.items():
        if folder.name.casefold() in CONTAINERS and len(names) > 1 and len(divided) == 1 < len(folders):
            raise UserError(f"{root}: the classes seem to be in {folder.name}/: say root={folder}; {classes}")
    parts = [folder for folder in divided if len(inside[folder]) > 1 or any(_plain(Path(n)) for n in inside[folder])]
    if len(parts) < max(2, len(folders) / 2):
        return
    times = Counter(name for folder in parts for name in inside[folder])
    common = sorted(name for name, count in times.items() if count > len(parts) / 2)
    if not common:
        return
    raise UserError(
        f"{root}: {some([f'{folder.name}/' for folder in parts])} hold the same folders {some(common)}: if they are "
        f"domains, say root={_inner(parts[0])}; if parts of a data set, call them train/ and test/; {classes}"
    )


def _classes(
    folder: Path, folders: Sequence[Path], least: int, seen: set[Path]
) -> tuple[dict[str, Sequence[Path]], list[Path]]:
    """The images of each class, at least so many, and what is passed over."""
    where = f"{folder}: needs a sub-folder for each of at least 2 classes, has {len(folders)}"
    if len(folders) == 1 and (inner := _inner(folder)) != folder:
        names = some([f"{path.name}/" for path in _children(inner, folder)[0]])
        raise UserError(f"{where}; {names} lie in {inner}: say root={inner}")
    loose = sum(is_image(path) for path in folder.iterdir() if not is_system(path.name)) if len(folders) < 2 else 0
    require(len(folders) >= 2, f"{where}{f' and {loose} images beside' if loose else ''}")
    classes: dict[str, Sequence[Path]] = {}
    passed = []
    for of_class in folders:
        images, more = images_in(of_class, seen)
        fits = len(images) >= least
        others = [printable(path.name) for path in more if not is_system(path.name)]
        other = f", and what is not read as one: {some(others)}" if others else ""
        has = f"{of_class}: needs at least {least} images, has {len(images)}{other}"
        require(fits, f"{has}; fill the folder or remove it")
        name = unicodedata.normalize("NFC", printable(of_class.name))  # as other systems code its accents
        require(name not in classes, f"{folder}: two folders are called {name}")
        classes[name] = images
        passed += more
    return classes, passed
