"""Spoken digits in Gujarati and Ukrainian, as spectrograms like those of fsdd; unseen speakers are for testing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from transferlab.config import require
from transferlab.data import _speech
from transferlab.data._archives import digests
from transferlab.data._files import Found, Settings, by_hand
from transferlab.data._selection import Selection
from transferlab.data._split import held_out
from transferlab.data.dataset import Dataset
from transferlab.data.mnist import CLASSES

ORIGINS = {
    "gujarati": "https://github.com/Nikunj1729/free-spoken-gujarati-digit-dataset",
    "ukrainian": "https://github.com/CaCuCkA/ukranian-spoken-digits",
}
TEST_FRACTION = 0.25


@dataclass
class Config(Selection):
    """Gujarati (Dalsaniya, Mankad et al. 2019: 20 speakers) or Ukrainian (86); no licence is stated."""

    language: Literal["gujarati", "ukrainian"] = "gujarati"
    """Of the speakers."""


def find(options: Config, settings: Settings) -> Found:
    """A quarter of the speakers, the same in every run, is for testing."""
    language = options.language
    origin = f"with mono 16-bit WAV files {{digit}}_{{speaker}}_{{take}}.wav at 8 kHz, made from {ORIGINS[language]}"
    choices = [(f"{language}.tar.xz",), (language,)]
    paths = tuple(by_hand("spoken_digits", ("spoken_digits",), choices, settings, origin))

    def load(split: str) -> Dataset:
        clips = _speech.read(paths)
        speakers = np.unique(clips.speakers)
        require(len(speakers) >= 2, f"{paths[0]}: needs recordings of at least 2 speakers, has {len(speakers)}")
        tested = speakers[held_out(len(speakers), TEST_FRACTION, 0)]
        rows = np.isin(clips.speakers, tested) == (split == "test")
        record = {
            "name": "spoken_digits", "edition": language, "split": split, "count": int(rows.sum()),
            "files": digests(paths), "speakers": np.unique(clips.speakers[rows]).tolist(),
        }  # fmt: skip
        return Dataset(clips.spectrograms[rows], clips.digits[rows], CLASSES, record)

    return Found("spoken_digits", language, CLASSES, (1, _speech.SIZE, _speech.SIZE), load)
