"""ConSE and DeViSE on your own photographs, by an ImageNet network that comes inside a Python package.

    transferlab photographs root=<folder> data.root=<data> out=<folder> devise=<a run's folder>

conse.png shows ten of the photographs with the network's five likeliest classes and ConSE's five (Norouzi et al., ICLR
2014) among the names of ImageNet's classes and all other nouns that have a word vector; with ``devise``, also what the
map of that run says (Frome et al., NIPS 2013). Where the folder has a sub-folder for each class, features.npz gets the
network's features for ``source=features`` and any method, which needs no word vectors; with them it also gets those of
the classes, for zero-shot methods.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from transferlab.config import DataConfig
from transferlab.data.arrays import read_arrays
from transferlab.data.files import at_hand, by_hand
from transferlab.data.pictures._images import folders_of, images_in, read_image
from transferlab.data.vectors._words import glove, known
from transferlab.errors import nearest, require
from transferlab.evaluation import figures
from transferlab.evaluation.metrics import mean_class_accuracy
from transferlab.files import expanded
from transferlab.models import predictor as predictors
from transferlab.models.backbones import lite0
from transferlab.models.zero_shot import ZeroShot, compare, compose
from transferlab.weights import IMAGENET, LITE0, file, load

OPTIONS = {"root": "", "data.root": None, "out": "outputs/photographs", "devise": None}
T = 10
"""Classes that ConSE combines."""
SHOWN = 10
"""Photographs in the picture."""
NO_NOUNS = ("frequent", "digits")
"""Groups of words in glove.npz that are not all nouns."""


def run(words: Sequence[str]) -> int:
    """The verb: writes conse.png, and features.npz where the folder has classes."""
    options = _options(words)
    root, out = expanded(str(options["root"])), expanded(str(options["out"]))
    paths, classes, labels = _photographs(root)
    # Of a folder without classes nothing is written but the picture, which needs word vectors.
    words_file = _word_vectors(options["data.root"], needed=not classes or options["devise"] is not None)
    devise = None if options["devise"] is None else _map(expanded(options["devise"]))
    net, names = network(), imagenet()
    features, logits = look(net, paths)

    out.mkdir(parents=True, exist_ok=True)
    signatures = _signatures(classes, words_file)
    if classes:
        _write_features(out / "features.npz", features, labels, classes, signatures)
        if signatures is None:
            print(f"without signatures of the classes, as there are no word vectors: {_missing(classes, words_file)}")
    if words_file is None:
        return 0

    seen, embedded = _conse(logits, names, words_file)
    candidates = list(dict.fromkeys([*seen, *nouns(words_file)]))
    table = torch.from_numpy(glove(words_file, candidates))
    if signatures is not None:
        scores = compare(embedded, torch.from_numpy(signatures), "cosine", None).numpy()
        accuracy = mean_class_accuracy(scores, labels, len(classes))
        print(f"ConSE({T}) among these classes: {accuracy:.3f} mean per class")

    rows = np.linspace(0, len(paths) - 1, min(SHOWN, len(paths))).round().astype(int)
    columns = {
        "the network": _best(logits[rows].softmax(1), names),
        f"ConSE({T})": _nearest(embedded[rows], table, candidates),
    }
    if devise is not None:
        columns["DeViSE"] = _nearest(devise.embed(devise.lift(features[rows])), table, candidates)
    pixels = [read_image(paths[row], paths[row], 224) for row in rows]
    figures.answers(np.stack(pixels), columns, out / "conse.png")
    print(f"{out / 'conse.png'}: {len(rows)} photographs, {len(candidates)} candidates")
    return 0


def _options(words: Sequence[str]) -> dict[str, Any]:
    """The values of all OPTIONS. Raises :class:`UserError` for a word that sets none, and where root is missing."""
    options = dict(OPTIONS)
    for word in words:
        key, _, value = word.partition("=")
        require(key in OPTIONS, f"{key}: no such key; allowed are {', '.join(OPTIONS)}{nearest(key, OPTIONS)}")
        options[key] = value
    require(bool(options["root"]), "photographs: say which folder, with root=…")
    return options


def _photographs(root: Path) -> tuple[list[Path], list[str], np.ndarray]:
    """The photographs in ``root``, their classes, and int64 [N] the class of each.

    Its folders are the classes if there are two or more and no photograph lies outside them; else there are none.
    """
    require(root.is_dir(), f"root={root}: no such folder")
    paths, _ = images_in(root, folders_of(root))
    require(len(paths) > 0, f"{root}: holds no images")
    places = [path.relative_to(root).parts for path in paths]
    classes = sorted({place[0] for place in places})
    if len(classes) < 2 or any(len(place) == 1 for place in places):
        return paths, [], np.zeros(len(paths), np.int64)
    return paths, classes, np.array([classes.index(place[0]) for place in places])


def _word_vectors(root: str | None, needed: bool) -> Path | None:
    """Where glove.npz lies; None where there is none. Raises :class:`DataMissing` instead if it is ``needed``."""
    place = ("words", "glove"), [("glove.npz",)], DataConfig(root=root)
    found = by_hand("glove", *place, "arrays words and vectors of GloVe") if needed else at_hand(*place)
    return found[0] if found else None


def _signatures(classes: Sequence[str], words_file: Path | None) -> np.ndarray | None:
    """float32 [C, D]: the word vectors of the classes; None unless each has one."""
    if not classes or words_file is None or not known(words_file, classes).all():
        return None
    return glove(words_file, classes)


def _missing(classes: Sequence[str], words_file: Path | None) -> str:
    """For a message: which word vectors are missing for the classes to have signatures."""
    if words_file is None:
        return "no glove.npz in <data.root>/words"
    return f"none of class {', '.join(name for name, there in zip(classes, known(words_file, classes)) if not there)}"


def _write_features(
    path: Path, features: Tensor, labels: np.ndarray, classes: Sequence[str], signatures: np.ndarray | None
) -> None:
    """Write a file for ``source=features``, with the classes' signatures if they have any."""
    described: dict[str, Any] = {} if signatures is None else {"signatures": signatures}
    np.savez(path, features=features.numpy(), labels=labels, classes=np.array(classes), **described)
    print(f"{path}: {len(labels)} photographs of {len(classes)} classes, for source=features")


def _conse(logits: Tensor, names: Sequence[str], words_file: Path) -> tuple[list[str], Tensor]:
    """The classes whose word vectors ConSE combines, and its sums [N, D] for photographs of ``logits`` [N, 1000]."""
    # A class of ImageNet without a word vector cannot be combined: it is left out of the sum.
    worded = known(words_file, names)
    seen = [name for name, fits in zip(names, worded) if fits]
    codes = F.normalize(torch.from_numpy(glove(words_file, seen)))
    return seen, compose(logits[:, torch.from_numpy(worded)], codes, T)


def imagenet() -> list[str]:
    """The names of ImageNet's 1,000 classes, in the network's order."""
    from torchvision.models import ResNet18_Weights

    return list(ResNet18_Weights.IMAGENET1K_V1.meta["categories"])


def nouns(path: Path) -> list[str]:
    """The words of glove.npz that are nouns, by its array of groups; all of them where it has none."""
    arrays = read_arrays(path, ["words"], ["groups"])
    words = [str(word) for word in arrays["words"]]
    if "groups" not in arrays:
        return words
    return [word for word, group in zip(words, arrays["groups"]) if str(group) not in NO_NOUNS]


def network() -> Any:
    """EfficientNet-Lite0, trained on ImageNet. Raises :class:`UserError` where its package is missing."""
    net = lite0(224)
    net.load_state_dict(load(file(LITE0, IMAGENET)))
    return net.eval()


@torch.no_grad()
def look(net: Any, paths: Sequence[Path]) -> tuple[Tensor, Tensor]:
    """Features [N, 1280], the means of the last maps, and logits [N, 1000] of photographs at 224 pixels."""
    features, logits = [], []
    for start in range(0, len(paths), 16):
        pixels = np.stack([read_image(path, path, 224) for path in paths[start : start + 16]])
        # From -1 to 1, as the network was trained.
        maps = net.extract_features(torch.from_numpy(pixels) / 127.5 - 1)
        features.append(maps.mean((2, 3)))
        logits.append(net._fc(features[-1]))
    return torch.cat(features), torch.cat(logits)


def _nearest(embedded: Tensor, table: Tensor, names: Sequence[str]) -> list[list[str]]:
    return _best(compare(embedded, table, "cosine", None), names)


def _best(scores: Tensor, names: Sequence[str]) -> list[list[str]]:
    """For each row of ``scores`` [N, C] the five names that score highest, each with its score."""
    return [[f"{names[i]} {row[i]:.2f}" for i in row.argsort(descending=True)[:5]] for row in scores]


def _map(folder: Path) -> ZeroShot:
    path = folder / "checkpoints" / "predictor.safetensors"
    require(path.is_file(), f"devise={folder}: no finished run there")
    predictor = predictors.load(path)[0]
    require(isinstance(predictor, ZeroShot), f"devise={folder}: not a run of a zero-shot method")
    assert isinstance(predictor, ZeroShot)
    return predictor
