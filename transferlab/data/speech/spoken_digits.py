"""Spoken digits in several languages, as spectrograms; in Gujarati and Ukrainian unseen speakers are for testing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from transferlab.data.content import digest, digests
from transferlab.data.contract import SPECTROGRAMS, Dataset, Found, Labels, Settings
from transferlab.data.files import by_hand
from transferlab.data.pictures.mnist import CLASSES
from transferlab.data.selection import Selection
from transferlab.data.speech import _speech, fsdd
from transferlab.data.split import held_out
from transferlab.errors import require

ORIGINS = {
    "gujarati": "https://github.com/Nikunj1729/free-spoken-gujarati-digit-dataset",
    "ukrainian": "https://github.com/CaCuCkA/ukranian-spoken-digits",
}
TEST_FRACTION = 0.25


@dataclass
class Config(Selection):
    """Gujarati (Dalsaniya, Mankad et al. 2019: 20 speakers), Ukrainian (87; no licence is stated), English (fsdd)."""

    languages: list[Literal["gujarati", "ukrainian", "english"]] = field(default_factory=lambda: ["gujarati"])
    """With several, the classes are called gujarati/0, ukrainian/0, …: each language is a task."""


def find(options: Config, settings: Settings) -> Found:
    """See :func:`transferlab.data.find`."""
    languages = list(options.languages)
    where = f"spoken_digits.languages={languages}"
    require(len(languages) >= 1, f"{where}: at least one is needed")
    require(len(set(languages)) == len(languages), f"{where}: a language is listed twice")
    found = [_find(language, settings) for language in languages]
    if len(found) == 1:
        return found[0]
    classes = tuple(f"{language}/{digit}" for language in languages for digit in CLASSES)
    edition = "+".join(part.edition for part in found)

    def load(split: str) -> Dataset:
        parts = [part.load(split) for part in found]
        inputs = np.concatenate([part.inputs for part in parts])
        known = of_split(split)
        record = {
            "name": "spoken_digits", "edition": edition, "split": split, "count": len(inputs),
            "languages": {language: part.provenance for language, part in zip(languages, parts, strict=True)},
        }  # fmt: skip
        return Dataset(inputs, known.labels, classes, record, groups=known.groups)

    def of_split(split: str) -> Labels:
        parts = [part.labels(split) for part in found if part.labels]
        labels = np.concatenate([part.labels + len(CLASSES) * place for place, part in enumerate(parts)])
        if split == "test":
            return Labels(labels)
        # English clips are groups of their own: there each speaker is tested too.
        of_parts = [np.arange(len(part)) if part.groups is None else part.groups for part in parts]
        firsts = np.cumsum([0, *(len(part) for part in parts)])
        return Labels(labels, np.concatenate([groups + first for groups, first in zip(of_parts, firsts)]))

    content = digest([], *(part.digest for part in found))
    return Found("spoken_digits", edition, classes, SPECTROGRAMS, found[0].shape, load, content, labels=of_split)


def _find(language: str, settings: Settings) -> Found:
    """One language. A quarter of the speakers, the same in every run, is for testing; English has its own split.

    A speaker is a group, so that validation too is by speakers who are not heard in training.
    """
    if language == "english":
        return fsdd.find(fsdd.Config(), settings)
    origin = f"with mono 16-bit WAV files {{digit}}_{{speaker}}_{{take}}.wav at 8 kHz, made from {ORIGINS[language]}"
    choices = [(f"{language}.tar.xz",), (language,)]
    paths = tuple(by_hand("spoken_digits", ("spoken_digits",), choices, settings, origin))

    content = digest([], _speech.content(paths), "groups: speakers")
    clips = _speech.names(paths)
    speakers = np.unique([speaker for speaker, *_ in clips])
    require(len(speakers) >= 2, f"{paths[0]}: needs recordings of at least 2 speakers, has {len(speakers)}")
    tested = set(speakers[held_out(len(speakers), TEST_FRACTION, 0)].tolist())

    def rows_of(split: str) -> np.ndarray:
        return np.array([(speaker in tested) == (split == "test") for speaker, *_ in clips])

    def of_split(split: str) -> Labels:
        rows = rows_of(split)
        groups = np.unique(np.array([speaker for speaker, *_ in clips])[rows], return_inverse=True)[1]
        return Labels(np.array([digit for _, digit, _ in clips], np.int64)[rows], groups if split == "train" else None)

    def load(split: str) -> Dataset:
        clips, rows, known = _speech.read(paths), rows_of(split), of_split(split)
        record = {
            "name": "spoken_digits", "edition": language, "split": split, "count": int(rows.sum()),
            "files": digests(paths), "speakers": np.unique(clips.speakers[rows]).tolist(),
        }  # fmt: skip
        return Dataset(clips.spectrograms[rows], known.labels, CLASSES, record, groups=known.groups)

    shape = (1, _speech.SIZE, _speech.SIZE)
    return Found("spoken_digits", language, CLASSES, SPECTROGRAMS, shape, load, content, labels=of_split)
