"""Texts as bags of words, over one vocabulary for both domains."""

from __future__ import annotations

import hashlib
import importlib
import logging
import lzma
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from transferlab.config import require
from transferlab.data._files import Found
from transferlab.data._selection import Selection
from transferlab.data.dataset import Dataset
from transferlab.errors import UserError

log = logging.getLogger(__name__)
Texts = tuple[list[str], np.ndarray | None]
"""Documents, and their labels int64 [N] where they have them."""
Paths = tuple[Path, ...]
"""An archive, or the files or folders that it unpacks to."""


@dataclass
class Words(Selection):
    """What every data set of texts shares."""

    vocabulary: Literal["reuters", "newsgroups"] = "reuters"
    """Whose training texts give the words, and how rare each is: the same for both domains, best the source."""
    words: int = 500
    """So many most frequent words, without scikit-learn's English stop words."""
    weights: Literal["counts", "tfidf", "binary"] = "tfidf"
    """counts of each word; tfidf: times smoothed log inverse document frequency, rows of length 1; binary: 0 or 1."""

    def __post_init__(self) -> None:
        require(1 <= self.words <= 10000, f"words={self.words}: allowed is 1 to 10000")


def find(
    name: str, edition: str, classes: tuple[str, ...], options: Words, paths: Paths, theirs: Paths,
    texts: Callable[[str], Texts],
) -> Found:  # fmt: skip
    """``texts`` of a split as float32 [N, words]; ``theirs`` is where the vocabulary's data set is.

    A document without any word of the vocabulary is left out.
    """

    def load(split: str) -> Dataset:
        documents, labels = texts(split)
        counter, idf = _fitted(options.vocabulary, theirs, options.words)
        bags = counter.transform(documents)
        kept = np.flatnonzero(bags.getnnz(axis=1))
        dropped = len(documents) - len(kept)
        if dropped:
            left_out = "%s %s: %d of %d documents hold no word of the vocabulary and are left out"
            log.info(left_out, name, split, dropped, len(documents))
        require(len(kept) > 0, f"{name}: no {split} document holds a word of vocabulary={options.vocabulary}")
        bags = bags[kept]
        if options.weights == "tfidf":
            bags = idf.transform(bags)
        elif options.weights == "binary":
            bags = bags.sign()
        record = {
            "name": name, "edition": edition, "split": split, "count": len(kept), "left_out": dropped,
            "files": digests(paths), "vocabulary": options.vocabulary, "vocabulary_files": digests(theirs),
        }  # fmt: skip
        return Dataset(bags.toarray().astype(np.float32), None if labels is None else labels[kept], classes, record)

    return Found(name, edition, classes, (options.words,), load)


@lru_cache(maxsize=2)
def _fitted(vocabulary: str, paths: Paths, words: int) -> tuple[Any, Any]:
    """A CountVectorizer and a TfidfTransformer fitted on the training texts of data set ``vocabulary``."""
    from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer

    documents = importlib.import_module(f"transferlab.data.{vocabulary}").training_texts(paths)
    # Letters alone: figures are among the most frequent tokens of newswire, and say nothing of other texts.
    counter = CountVectorizer(stop_words="english", max_features=words, token_pattern=r"\b[a-z]{2,}\b")
    try:
        counts = counter.fit_transform(documents)
    except ValueError as error:  # no word at all
        raise UserError(f"{paths[0]}: no vocabulary in it ({error})") from None
    found = counts.shape[1]
    require(found == words, f"words={words}: the training texts of {vocabulary} have only {found} words")
    return counter, TfidfTransformer().fit(counts)


def members(paths: Paths) -> Iterator[tuple[str, bytes]]:
    """Name and content of each file in ``paths``. Raises :class:`UserError` naming a damaged one."""
    for path in paths:
        try:
            if path.is_dir():
                for file in sorted(file for file in path.rglob("*") if file.is_file()):
                    yield file.relative_to(path.parent).as_posix(), file.read_bytes()
            elif ".tar" in path.suffixes:
                with tarfile.open(path) as archive:
                    for member in archive:
                        content = archive.extractfile(member)
                        if content is not None:
                            yield member.name, content.read()
            else:
                yield path.name, path.read_bytes()
        except (OSError, EOFError, tarfile.TarError, lzma.LZMAError, zlib.error) as error:
            raise UserError(f"{path}: damaged or truncated ({error}); fetch it again") from None


@lru_cache(maxsize=4)
def digests(paths: Paths) -> dict[str, str]:
    """SHA-256 of each archive or file, of a folder over the names and bytes of its files."""
    record = {}
    for path in paths:
        digest = hashlib.sha256()
        if path.is_dir():
            for name, content in members((path,)):
                digest.update(f"{name} {len(content)}\n".encode() + content)
        else:
            digest.update(path.read_bytes())
        record[path.name] = digest.hexdigest()
    return record
