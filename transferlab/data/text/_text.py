"""Texts as bags of words, over one vocabulary for both domains."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from transferlab.data.archives import Paths, names
from transferlab.data.content import digest, digests, remembered
from transferlab.data.contract import VECTORS, Dataset, Found
from transferlab.data.selection import Selection
from transferlab.errors import UserError, require

log = logging.getLogger(__name__)
Texts = tuple[list[str], np.ndarray | None]
"""Documents, and their labels int64 [N] where they have them."""


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
        counter, idf = _fitted(theirs, options.vocabulary, options.words)
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

    content = digest([*paths, *theirs], check=lambda: names((*paths, *theirs)))
    return Found(name, edition, classes, VECTORS, (options.words,), load, content)


@remembered(maxsize=2)
def _fitted(paths: Paths, vocabulary: str, words: int) -> tuple[Any, Any]:
    """A CountVectorizer and a TfidfTransformer fitted on the training texts of data set ``vocabulary``."""
    from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer

    documents = importlib.import_module(f"transferlab.data.text.{vocabulary}").training_texts(paths)
    # Letters alone: figures are among the most frequent tokens of newswire, and say nothing of other texts.
    counter = CountVectorizer(stop_words="english", max_features=words, token_pattern=r"\b[a-z]{2,}\b")
    try:
        counts = counter.fit_transform(documents)
    except ValueError as error:  # no word at all
        raise UserError(f"{paths[0]}: no vocabulary in it ({error})") from None
    found = counts.shape[1]
    require(found == words, f"words={words}: the training texts of {vocabulary} have only {found} words")
    return counter, TfidfTransformer().fit(counts)
