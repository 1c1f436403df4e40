"""FSDD, the Free Spoken Digit Dataset: 3,000 English digits of six speakers, as spectrograms."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from transferlab.config import nearest, require
from transferlab.data import _speech
from transferlab.data._archives import names
from transferlab.data._content import digest, digests
from transferlab.data._files import Found, Settings, by_hand
from transferlab.data._selection import Selection
from transferlab.data.dataset import Dataset
from transferlab.data.mnist import CLASSES

COUNT = 3000
TEST_TAKES = 5
"""Takes 0 to 4 of each digit and speaker are the official test set."""


@dataclass
class Config(Selection):
    """Free Spoken Digit Dataset (Jackson et al. 2016), CC BY-SA 4.0: a speaker is a domain."""

    speakers: list[str] = field(default_factory=list)
    """Only these; empty: all."""


def find(options: Config, settings: Settings) -> Found:
    """See :func:`transferlab.data.find`."""
    origin = "with the files {digit}_{speaker}_{take}.wav; from https://github.com/Jakobovski/free-spoken-digit-dataset"
    choices = [("recordings",), ("recordings.zip",)]
    paths = tuple(by_hand("fsdd", ("fsdd", "FSDD", "free-spoken-digit-dataset"), choices, settings, origin))
    clips = [clip for name in names(paths) if (clip := _speech.parse(name))]
    speakers = sorted({speaker for speaker, *_ in clips})
    for name in options.speakers:
        allowed = ", ".join(speakers) + nearest(name, speakers)
        require(name in speakers, f"fsdd.speakers: no {name}; allowed are {allowed}")
    wanted = options.speakers or speakers
    parts = {take < TEST_TAKES for speaker, _, take in clips if speaker in wanted}
    require(len(parts) == 2, f"{paths[0]}: needs takes 0 to 4, for testing, and later ones of {', '.join(wanted)}")
    edition = "full" if len(clips) == COUNT else f"subset-{len(clips)}"

    def load(split: str) -> Dataset:
        clips = _speech.read(paths)
        rows = (clips.takes < TEST_TAKES) == (split == "test")
        rows &= np.isin(clips.speakers, wanted)
        record = {
            "name": "fsdd", "edition": edition, "split": split, "count": int(rows.sum()), "files": digests(paths),
            "speakers": wanted,
        }  # fmt: skip
        return Dataset(clips.spectrograms[rows], clips.digits[rows], CLASSES, record)

    return Found("fsdd", edition, CLASSES, (1, _speech.SIZE, _speech.SIZE), load, digest(paths))
