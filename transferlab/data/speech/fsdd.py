"""FSDD, the Free Spoken Digit Dataset: 3,000 English digits of six speakers, as spectrograms."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from transferlab.data.content import digests
from transferlab.data.contract import SPECTROGRAMS, Dataset, Found, Labels, Settings
from transferlab.data.files import by_hand
from transferlab.data.pictures.mnist import CLASSES
from transferlab.data.selection import Selection
from transferlab.data.speech import _speech
from transferlab.errors import nearest, require

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
    content = _speech.content(paths)
    clips = _speech.names(paths)
    speakers = sorted({speaker for speaker, *_ in clips})
    for name in options.speakers:
        allowed = ", ".join(speakers) + nearest(name, speakers)
        require(name in speakers, f"fsdd.speakers: no {name}; allowed are {allowed}")
    wanted = options.speakers or speakers
    parts = {take < TEST_TAKES for speaker, _, take in clips if speaker in wanted}
    require(len(parts) == 2, f"{paths[0]}: needs takes 0 to 4, for testing, and later ones of {', '.join(wanted)}")
    edition = "full" if len(clips) == COUNT else f"subset-{len(clips)}"

    def rows_of(split: str) -> np.ndarray:
        return np.array([(take < TEST_TAKES) == (split == "test") and speaker in wanted for speaker, _, take in clips])

    def of_split(split: str) -> Labels:
        return Labels(np.array([digit for _, digit, _ in clips], np.int64)[rows_of(split)])

    def load(split: str) -> Dataset:
        read, rows = _speech.read(paths), rows_of(split)
        record = {
            "name": "fsdd", "edition": edition, "split": split, "count": int(rows.sum()), "files": digests(paths),
            "speakers": wanted,
        }  # fmt: skip
        return Dataset(read.spectrograms[rows], read.digits[rows], CLASSES, record)

    return Found(
        "fsdd", edition, CLASSES, SPECTROGRAMS, (1, _speech.SIZE, _speech.SIZE), load, content, labels=of_split
    )
