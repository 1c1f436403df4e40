"""20 Newsgroups: some 18,800 messages from UseNet, 1993, as bags of words."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

from transferlab.data.archives import Paths, members
from transferlab.data.content import remembered
from transferlab.data.contract import Found, Settings
from transferlab.data.files import by_hand
from transferlab.data.text import _text
from transferlab.errors import require

CLASSES = (
    "alt.atheism", "comp.graphics", "comp.os.ms-windows.misc", "comp.sys.ibm.pc.hardware", "comp.sys.mac.hardware",
    "comp.windows.x", "misc.forsale", "rec.autos", "rec.motorcycles", "rec.sport.baseball", "rec.sport.hockey",
    "sci.crypt", "sci.electronics", "sci.med", "sci.space", "soc.religion.christian", "talk.politics.guns",
    "talk.politics.mideast", "talk.politics.misc", "talk.religion.misc",
)  # fmt: skip


@dataclass
class Config(_text.Words):
    """20 Newsgroups (Lang 1995), Rennie's version split by date; the licence of the messages is not stated."""


def find(options: Config, settings: Settings) -> Found:
    """See :func:`transferlab.data.find`."""
    paths = locate(settings)
    theirs = importlib.import_module(f"transferlab.data.text.{options.vocabulary}").locate(settings)
    return _text.find(
        "newsgroups", "bydate", CLASSES, options, paths, theirs, lambda split: messages(paths)[split == "test"]
    )


def locate(settings: Settings) -> Paths:
    """The archive or its two folders."""
    parts = ("20news-bydate-train", "20news-bydate-test")
    choices = [("20news-bydate.tar.xz",), ("20news-bydate.tar.gz",), parts]
    origin = "or the two folders in it; from http://qwone.com/~jason/20Newsgroups"
    return tuple(by_hand("newsgroups", ("20news", "20news-bydate", "20news_home"), choices, settings, origin))


def training_texts(paths: Paths) -> list[str]:
    """What a vocabulary is made of."""
    return messages(paths)[0][0]


@remembered(maxsize=1)
def messages(paths: Paths) -> tuple[_text.Texts, _text.Texts]:
    """Training and test messages, without the headers, footers and quotes that give a group away.

    Raises :class:`~transferlab.errors.UserError` naming a damaged file, or a group without messages.
    """
    from sklearn.datasets import _twenty_newsgroups as strip

    found: dict[str, tuple[list[str], list[int]]] = {"train": ([], []), "test": ([], [])}
    for name, content in members(paths):
        *_, part, group, number = ("", "", *PurePosixPath(name).parts)
        if number.startswith("."):  # what some systems leave in every folder
            continue
        split = part.removeprefix("20news-bydate-")
        known = split in found and group in CLASSES
        require(known, f"{paths[0]}: holds {name} instead of 20news-bydate-train|test/<group>/<number>")
        text = strip.strip_newsgroup_footer(strip.strip_newsgroup_header(content.decode("latin-1")))
        found[split][0].append(strip.strip_newsgroup_quoting(text))
        found[split][1].append(CLASSES.index(group))
    for split, (_, labels) in found.items():
        missing = sorted({*range(len(CLASSES))} - {*labels})
        groups = ", ".join(CLASSES[label] for label in missing)
        require(not missing, f"{paths[0]}: no {split} messages of {groups}; fetch it again")
    train, test = ((texts, np.array(labels, np.int64)) for texts, labels in found.values())
    return train, test
