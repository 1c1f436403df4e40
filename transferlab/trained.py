"""A trained model as it is used: from pictures, or other inputs of its kind, to names of classes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from transferlab import weights
from transferlab.config import Config, DeviceConfig
from transferlab.data.pictures._images import Spans, folders_of, images_in, pixels_of, read_each, spans
from transferlab.devices import pick_device
from transferlab.errors import UserError, require
from transferlab.files import expanded, make_folder, read_json
from transferlab.inputs import Inputs, at_once, resize
from transferlab.map import method_schema
from transferlab.models import predictor as predictors
from transferlab.models.clusters import Clusters
from transferlab.models.frozen import at_a_time, frozen
from transferlab.models.predictor import Predictor
from transferlab.runs import DONE, PREDICTOR, RunFolder, choices_of, config_in

if TYPE_CHECKING:
    from PIL.Image import Image

    Picture = str | Path | Image | np.ndarray | Tensor


@dataclass(frozen=True)
class Predictions:
    """Answers for N inputs. scores: float32 [N, C], for each of ``classes``; are_logits: whether a softmax of them is
    the model's probabilities."""

    classes: tuple[str, ...]
    scores: np.ndarray
    are_logits: bool

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def names(self) -> list[str]:
        """The likeliest class of each input."""
        return [self.classes[best] for best in self.scores.argmax(1)]

    @cached_property
    def probabilities(self) -> np.ndarray | None:
        """float32 [N, C]; None where the scores say nothing of how sure the model is, such as an SVM's margins."""
        return torch.from_numpy(self.scores).softmax(1).numpy() if self.are_logits else None

    def top(self, count: int) -> list[list[tuple[str, float]]]:
        """For each input its ``count`` likeliest classes, each with its probability, or its score where it has none."""
        values = self.scores if self.probabilities is None else self.probabilities
        best = np.argsort(-self.scores, axis=1, kind="stable")[:, :count]
        return [[(self.classes[label], float(row[label])) for label in labels] for labels, row in zip(best, values)]


class TrainedModel(nn.Module):
    """What a run has trained, with all that stands before it: from inputs to scores of ``classes``.

    It takes images uint8 [B, channels, size, size]; where channels is 0 and size None, it takes other inputs, float32
    [B, ...] of the shape it learned from. backbone: of a run on frozen features, from images to them.
    domain: whose inputs it is given, for methods that treat the domains differently. known: the domain's classes, which
    are ``classes`` but for clusters.
    """

    def __init__(
        self,
        predictor: Predictor,
        classes: tuple[str, ...],
        config: Config,
        data: dict[str, Any],
        domain: str = "target",
    ):
        super().__init__()
        self.predictor, self.config, self.data, self.domain = predictor, config, data, domain
        clusters, self.known = isinstance(predictor, Clusters), classes
        self.classes = tuple(f"cluster {number}" for number in range(len(classes))) if clusters else classes
        self.backbone = _backbone(config, data)
        self.channels = 3 if self.backbone is not None else self._channels()
        self.size = config.model.input_size if self.channels else None
        self.eval().requires_grad_(False)

    def _channels(self) -> int:
        """How many channels of images its predictor takes; 0: it takes no images."""
        side = self.config.model.input_size
        for channels in (3, 1):
            try:
                self.predictor.check(torch.zeros(1, channels, side, side, dtype=torch.uint8))
                return channels
            except UserError:
                continue
        return 0

    @property
    def trained_on(self) -> dict[str, dict[str, Any]]:
        """For each split of each domain what it was: name, edition, count, and checksums of files where there are."""
        return self.data

    @property
    def device(self) -> torch.device:
        return next(iter(self.predictor.state_dict().values())).device

    def forward(self, inputs: Tensor) -> Tensor:
        """Inputs [B, ...] as above to scores float32 [B, C]."""
        features = inputs if self.backbone is None else self.backbone(inputs)
        return self.predictor(features, self.domain)[1].float()

    @torch.no_grad()
    def scores(self, inputs: Inputs) -> np.ndarray:
        """Scores float32 [N, C] of inputs [N, ...] as the model takes them, some at a time."""
        size = at_once(inputs.shape) if self.backbone is None else at_a_time(self.device)
        answers = [self(self.sized(part).to(self.device)).cpu() for part in inputs.split(size)]
        return torch.cat(answers).numpy() if answers else np.empty((0, len(self.classes)), np.float32)

    def predict(self, inputs: Picture | Sequence[Picture] | Inputs) -> Predictions:
        """What the model says of pictures, or of other inputs of its kind.

        inputs: of pictures, of any size, one or several: files; Pillow's images; uint8 arrays [H, W] or [H, W, 3] as
        Pillow has them; or uint8 tensors [C, H, W] as torch has them. Of other inputs an array or a tensor float32
        [N, ...]. Raises :class:`~transferlab.errors.UserError` for a file that is no picture, and for another shape.
        """
        return self._answers(self.inputs(inputs))

    def inputs(self, given: Picture | Sequence[Picture] | Inputs) -> Tensor:
        """What :meth:`predict` takes as the model takes it: uint8 [N, channels, size, size] or float32 [N, ...]."""
        if self.size is None:
            return torch.as_tensor(np.asarray(given, np.float32))
        require(given is not None and not isinstance(given, int | float | bytes), f"{given!r}: no picture, and no list")
        one = isinstance(given, str | Path) or getattr(given, "ndim", 4) < 4 or hasattr(given, "getbands")
        pictures: list[Any] = [given] if one else list(given)  # type: ignore[arg-type]
        files = [expanded(str(picture)) for picture in pictures if isinstance(picture, str | Path)]
        for file in files:
            require(not file.is_dir(), f"{file}: a folder; give the pictures in it")
        scale = spans(files)
        return self._batch([self._pixels(picture, scale) for picture in pictures])

    def sized(self, images: Tensor) -> Tensor:
        """uint8 images [N, 1 or 3, H, W] as the model takes them; others stay as they are."""
        if self.size is None:
            return images
        same = resize(images, self.size)
        if self.channels == 3:
            return same.expand(-1, 3, -1, -1)
        return same.float().mean(1, keepdim=True).round().byte()

    def _batch(self, pictures: Sequence[np.ndarray]) -> Tensor:
        """Pictures uint8 [3, S, S] as they are read, as a batch."""
        read = np.stack(pictures) if pictures else np.empty((0, 3, self._read_size, self._read_size), np.uint8)
        return self.sized(torch.from_numpy(read))

    def predict_files(
        self, paths: Sequence[Path], batch: int = 64
    ) -> Iterator[tuple[list[Path], Predictions, list[str]]]:
        """:meth:`predict` of files, some at a time: those that can be read, the answers, and what is wrong with others.

        Grey levels of more than 8 bits are scaled for all ``paths`` alike, as those of a data set are.
        """
        scale = _spans_of_readable(paths)
        for start in range(0, len(paths), batch):
            some = paths[start : start + batch]
            read = read_each(some, self._read_size, scale)
            there = [path for path, one in zip(some, read) if isinstance(one, np.ndarray)]
            pixels = [one for one in read if isinstance(one, np.ndarray)]
            wrong = [str(one) for one in read if isinstance(one, UserError)]
            yield there, self._answers(self._batch(pixels)), wrong

    def _answers(self, inputs: Tensor) -> Predictions:
        scores = self.scores(inputs)
        assert scores.shape[1] == len(self.classes)
        return Predictions(self.classes, scores, self.predictor.scores_are_logits)

    @property
    def _read_size(self) -> int:
        """Pixels that files are read at: as the target's were, if they were files."""
        assert self.size is not None
        return getattr(getattr(self.config, self.domain), "size", None) or self.size

    def _pixels(self, picture: Any, scale: Spans) -> np.ndarray:
        """uint8 [3, S, S] of one picture, as files are read."""
        from PIL import Image

        if isinstance(picture, str | Path):
            (read,) = read_each([expanded(str(picture))], self._read_size, scale)
            if isinstance(read, UserError):
                raise read
            return read
        if isinstance(picture, Tensor):
            fits = picture.dtype == torch.uint8 and picture.ndim == 3 and picture.shape[0] in (1, 3)
            require(fits, f"a picture as a tensor is uint8 [1 or 3, H, W], not {picture.dtype} {list(picture.shape)}")
            picture = picture.expand(3, -1, -1).permute(1, 2, 0).cpu().numpy()
        if isinstance(picture, np.ndarray):
            fits = picture.dtype == np.uint8 and (picture.ndim == 2 or picture.shape[2:] == (3,)) and picture.size > 0
            given = f"{picture.dtype} {list(picture.shape)}"
            require(fits, f"a picture as an array is uint8 [H, W] or [H, W, 3], not {given}")
            picture = Image.fromarray(picture)
        known = isinstance(picture, Image.Image)
        require(known, f"a picture is a file, an image of Pillow's, an array or a tensor, not {type(picture).__name__}")
        return pixels_of(picture, self._read_size)


def load(folder: str | Path, device: str = "cpu", domain: str = "target") -> TrainedModel:
    """The model that the run in ``folder`` has ended with, on ``device`` (auto, cpu, cuda, …).

    Raises :class:`~transferlab.errors.UserError` where there is none, and where a run on frozen features was made with
    weights of a backbone that are not at hand.
    """
    require(domain in ("source", "target"), f"domain={domain}: allowed are source, target")
    place, on = expanded(str(folder)), pick_device(DeviceConfig(name=device).name)
    path, status = place / PREDICTOR, RunFolder(place).status
    whole = status.get("status") in DONE and path.exists()
    told = f"it is {status['status']}: {status.get('reason')}" if status.get("status") else "is it a run's folder?"
    require(whole, f"{folder}: holds no finished run; {told}")
    predictor, classes = predictors.load(path, domain)
    known = domain in predictor.domains and bool(classes)
    require(known, f"domain={domain}: the model of {folder} answers for the {' and '.join(predictor.domains)} alone")
    with choices_of(place):
        model = TrainedModel(predictor, classes, config_in(place), read_json(place / "data.json"), domain)
    return model.to(on)


def pictures_in(root: Path) -> tuple[list[Path], list[Path]]:
    """The pictures in a folder and what else lies there; or the one that ``root`` is."""
    if root.is_file():
        return [root], []
    require(root.is_dir(), f"root={root}: no such file or folder")
    paths, passed = images_in(root, folders_of(root))
    require(len(paths) > 0, f"root={root}: holds no pictures")
    return paths, passed


def place_for(out: Path | None) -> None:
    """Make the folder that ``out`` is to be written into, before any work."""
    if out is not None:
        require(not out.is_dir(), f"out={out}: a folder; name a file")
        make_folder(out.parent)


def with_root(config: Config, root: str) -> Config:
    """``config``, whose data is looked for in ``root``, if that is named; a run's record does not rely on a place."""
    return dataclasses.replace(config, data=dataclasses.replace(config.data, root=root or None))


def _backbone(config: Config, data: dict[str, Any]) -> nn.Module | None:
    """Of a run on frozen features what computes them; the weights must be those that the run had."""
    model = config.model
    if not model.frozen or not method_schema(config.names["method"]).sees.net:
        return None
    had = {split.get("weights_sha256") for split in data.values()}
    try:
        known = weights.digest(model.name, model.weights, config.data.download)
    except UserError as error:
        raise UserError(f"{error}; the run began with these weights, and a relative path is its own folder's") from None
    here = f"model.weights={model.weights}: {weights.file(model.name, model.weights)}"
    require(had == {known}, f"{here} has other weights of {model.name} than the run was made with; put those back")
    return frozen(model)


def _spans_of_readable(paths: Sequence[Path]) -> Spans:
    """:func:`spans` of those of ``paths`` that are pictures."""
    found: Spans = {}
    for path in paths:
        try:
            for mode, (low, high) in spans([path]).items():
                known = found.get(mode, (low, high))
                found[mode] = min(low, known[0]), max(high, known[1])
        except UserError:  # said when it is read
            continue
    return found
