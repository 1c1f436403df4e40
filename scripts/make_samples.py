"""Make the package's samples from the full data: python scripts/make_samples.py <data.root>.

The first images of each class, in their original order; the same bytes every time.
"""

from __future__ import annotations

import hashlib
import json
import sys

import numpy as np

from transferlab import data
from transferlab.config import DataConfig
from transferlab.data import _samples, omniglot

PER_CLASS = {"mnist": (1000, 200), "usps": (400, 100), "emnist_letters": (150, 40), "fashion_mnist": (150, 40),
             "omniglot": (16, 4)}  # fmt: skip
OPTIONS = {"omniglot": {"alphabets": sorted(omniglot.SAMPLE)}}


def main(root: str) -> None:
    _samples.FOLDER.mkdir(exist_ok=True)
    checksums = {}
    for name, counts in PER_CLASS.items():
        options = data.config_class(name)(**OPTIONS.get(name, {}))
        found = data.find(name, options, DataConfig(root=root, edition="full", download="false"))
        for split, count in zip(("train", "test"), counts, strict=True):
            full = found.load(split)
            assert full.labels is not None
            rows = np.sort(np.concatenate([np.flatnonzero(full.labels == c)[:count] for c in range(len(full.classes))]))
            path = _samples.pack(name, split, full.inputs[rows], full.labels[rows])
            checksums[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
            print(f"{path.name:32} {len(rows):6} images {path.stat().st_size:9,} bytes")
    (_samples.FOLDER / "sha256.json").write_text(json.dumps(checksums, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
