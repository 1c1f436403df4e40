"""Reuters-21578: 21,578 stories of newswire from 1987, as bags of words."""

from __future__ import annotations

import html
import importlib
import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

import numpy as np

from transferlab.data.archives import Paths, members
from transferlab.data.content import remembered
from transferlab.data.contract import Found, Settings
from transferlab.data.files import by_hand
from transferlab.data.text import _text
from transferlab.errors import UserError

CLASSES = ("earn", "acq", "crude", "trade", "money-fx", "interest", "money-supply", "ship", "sugar", "coffee")
"""The ten topics that most training stories have as their only one; wheat and corn hardly ever stand without grain."""
FILES = tuple(f"reut2-{i:03}.sgm" for i in range(22))


@dataclass
class Config(_text.Words):
    """Reuters-21578, Distribution 1.0 (Lewis 1997); "for research purposes only", so not in the package."""

    labels: Literal["topics", "none"] = "topics"
    """topics: stories of one topic in the ModApte split; none: all stories with a body, without labels."""


@dataclass(frozen=True)
class Story:
    """text: title and body. topics are empty where the indexers gave none."""

    split: str
    indexed: bool
    topics: tuple[str, ...]
    has_body: bool
    text: str


def find(options: Config, settings: Settings) -> Found:
    """Without labels Lewis's test stories are for testing, all others for training, also those outside ModApte.

    Their labels are None then, since any number would claim a class.
    """
    paths = locate(settings)
    theirs = importlib.import_module(f"transferlab.data.text.{options.vocabulary}").locate(settings)
    classes = CLASSES if options.labels == "topics" else ()

    def texts(split: str) -> _text.Texts:
        if options.labels == "none":
            return unlabelled(paths, split), None
        wanted = [s for s in stories(paths) if s.split == split.upper() and s.indexed and len(s.topics) == 1]
        chosen = [s for s in wanted if s.topics[0] in CLASSES]
        return [s.text for s in chosen], np.array([CLASSES.index(s.topics[0]) for s in chosen], np.int64)

    return _text.find("reuters", "full", classes, options, paths, theirs, texts)


def locate(settings: Settings) -> Paths:
    """The archive or its 22 files."""
    choices = [("reuters21578.tar.xz",), ("reuters21578.tar.gz",), FILES]
    origin = "or the .sgm files in it; from http://www.daviddlewis.com/resources/testcollections/reuters21578"
    return tuple(by_hand("reuters", ("reuters21578", "reuters"), choices, settings, origin))


def training_texts(paths: Paths) -> list[str]:
    """What a vocabulary is made of."""
    return unlabelled(paths, "train")


def unlabelled(paths: Paths, split: str) -> list[str]:
    return [s.text for s in stories(paths) if s.has_body and (s.split == "TEST") == (split == "test")]


@remembered(maxsize=1)
def stories(paths: Paths) -> list[Story]:
    """All stories. Raises :class:`UserError` naming a file that is damaged or missing."""
    found: list[Story] = []
    seen = set()
    for name, content in members(paths):
        name = PurePosixPath(name).name
        if name in FILES:
            seen.add(name)
            found += _stories(f"{paths[0] if len(paths) == 1 else paths[0].parent}: {name}", content.decode("latin-1"))
    missing = sorted(set(FILES) - seen)
    if missing:
        raise UserError(f"{paths[0]}: {', '.join(missing)} missing in it; fetch it again")
    return found


def _stories(where: str, sgml: str) -> list[Story]:
    blocks = re.findall(r"<REUTERS (.*?)>(.*?)</REUTERS>", sgml, re.S)
    whole = len(blocks) == sgml.count("<REUTERS ") > 0
    found = []
    for attributes, content in blocks:
        has = dict(re.findall(r'(\w+)="(.*?)"', attributes))
        topics, text = re.search(r"<TOPICS>(.*?)</TOPICS>", content), re.search(r"<TEXT.*?>(.*)</TEXT>", content, re.S)
        if topics is None or text is None or not {"LEWISSPLIT", "TOPICS"} <= set(has):
            whole = False
            break
        found.append(
            Story(
                has["LEWISSPLIT"],
                has["TOPICS"] == "YES",
                tuple(re.findall(r"<D>(.*?)</D>", topics[1])),
                "<BODY>" in text[1],
                _plain(text[1]),
            )
        )
    if not whole:
        raise UserError(f"{where}: damaged or truncated, not whole stories in Reuters-21578's SGML; fetch it again")
    return found


def _plain(text: str) -> str:
    """Title and body without mark-up, and without the agency's name that ends nearly every story."""
    text = re.sub(r"<(AUTHOR|DATELINE)>.*?</\1>", " ", text, flags=re.S)
    text = html.unescape(re.sub(r"<[^>]*>", " ", text))
    return re.sub(r"\sreuters?[\s.]*$", "", text, flags=re.I)
