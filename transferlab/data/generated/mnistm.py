"""MNIST-M: MNIST's digits blended with patches of colour photographs (Ganin & Lempitsky 2015).

Each pixel of each channel is |digit - patch|. The set is generated, as a function of the digits, the photographs,
the seed and :data:`VERSION`; or read as released, where the user has it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from transferlab.data.content import digest
from transferlab.data.contract import IMAGES, Dataset, Found, Settings
from transferlab.data.generated import _released_mnistm as released
from transferlab.data.generated._generated import versioned
from transferlab.data.generated._photographs import Photographs, bsds500, packaged, patches, where
from transferlab.data.pictures import mnist
from transferlab.data.selection import Selection
from transferlab.data.stored import kept
from transferlab.errors import DataMissing, require

log = logging.getLogger(__name__)
VERSION = 1


@dataclass
class Config(Selection):
    """MNIST-M (Ganin & Lempitsky, ICML 2015, section 4)."""

    build: Literal["generated", "released"] = "generated"
    """generated from MNIST and photographs; or the authors' released files, where they are available."""
    photographs: Literal["auto", "bsds500", "packaged"] = "auto"
    """What patches are cut from: BSDS500, the three photographs inside the libraries, or the better available."""
    seed: int = 0
    """Seed of the patches; the same for all runs that are to be compared."""

    def __post_init__(self) -> None:
        require(self.seed >= 0, f"mnistm.seed={self.seed}: must not be negative")


def find(options: Config, settings: Settings) -> Found:
    """See :func:`transferlab.data.find`."""
    if options.build == "released":
        return released.find(settings, mnist.CLASSES)
    digits = mnist.find(mnist.Config(), settings)
    photographs = _photographs(options, settings, digits.edition)
    usual = "sample" if digits.edition == "sample" else "full"
    named = {"full": "bsds500", "sample": "packaged-photographs"}.get(photographs.edition, photographs.edition)
    edition = digits.edition if photographs.edition == usual else f"{digits.edition}-{named}"
    edition = versioned(edition, VERSION)
    content = digest([], VERSION, options.seed, digits.digest, photographs.digest)

    def load(split: str) -> Dataset:
        source = digits.load(split)

        def make() -> Iterator[np.ndarray]:
            rng = np.random.default_rng([options.seed, split == "test"])
            yield blend(np.asarray(source.inputs), patches(photographs.read(split), len(source), 28, rng))

        images = kept("mnistm", [content, split], len(source), make)
        record = {
            "name": "mnistm", "edition": edition, "split": split, "count": len(images), "generator": VERSION,
            "seed": options.seed, "photographs": f"{photographs.name} ({photographs.parts[split]})",
            "photographs_sha256": photographs.digest, "files": source.provenance["files"],
        }  # fmt: skip
        return Dataset(images, source.labels, mnist.CLASSES, record)

    return Found("mnistm", edition, mnist.CLASSES, IMAGES, (3, 28, 28), load, content, labels=digits.labels)


def _photographs(options: Config, settings: Settings, edition: str) -> Photographs:
    # A sample is the same everywhere, so it never looks for BSDS500.
    if options.photographs == "packaged" or (edition == "sample" and options.photographs == "auto"):
        return packaged()
    found = bsds500(settings)
    if found is None and (options.photographs == "bsds500" or settings.edition == "full"):
        asked = "mnistm.photographs=bsds500" if options.photographs == "bsds500" else "mnistm: data.edition=full"
        raise DataMissing(f"{asked}: BSDS500 not found; {where()}, or choose photographs=packaged", "BSDS500")
    if found is None:
        log.warning("mnistm: BSDS500 is not available, patches come from the three packaged photographs")
    return found or packaged()


def blend(digits: np.ndarray, backgrounds: np.ndarray) -> np.ndarray:
    """|digit - patch|: uint8 [N, 1, 28, 28] and [N, 3, 28, 28] -> uint8 [N, 3, 28, 28]."""
    return np.maximum(digits, backgrounds) - np.minimum(digits, backgrounds)
