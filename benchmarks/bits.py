"""Whether a change of the code changed any bit: checksums of tiny runs of every method, kind of input and net.

    python -m benchmarks.bits after.json --against before.json

Run it at both revisions on one machine; it says which runs are equal and which are not.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tests.methods import tiny
from transferlab.errors import UserError
from transferlab.map import method_files

NETS = ("mlp", "lenet", "ganin_mnist", "ganin_svhn", "resnet18")
MODELS: tuple[dict[str, Any], ...] = ({}, {"batch_norm": True})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--against", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    record = {" ".join([*case[:3], *case[3]]): outcome(*case)
              for case in itertools.product(sorted(method_files()), tiny.SHAPES, NETS, MODELS)}  # fmt: skip
    args.out.write_text(json.dumps(record, indent=1))
    ran = Counter("refused" if value == ["refused"] else "ran" for value in record.values())
    print(f"{len(record)} runs: {ran['ran']} ran, {ran['refused']} refused")
    if args.against:
        before = json.loads(args.against.read_text())
        other = [name for name in before.keys() | record.keys() if before.get(name) != record.get(name)]
        print(f"equal: {len(before.keys() | record.keys()) - len(other)}; not equal: {len(other)}")
        for name in sorted(other):
            print(f"  {name}: {before.get(name)} -> {record.get(name)}")


def outcome(method: str, kind: str, net: str, model: dict[str, Any]) -> list[Any]:
    """Checksums of weights and scores, and the plain values of the record, of a run of three steps."""
    try:
        asked = tiny.settings(method, net=net, model=model)
        tiny.refused(asked, kind)
        with tempfile.TemporaryDirectory() as folder:
            weights, _, scores, record = tiny.outcome(Path(folder), asked, kind)
    except UserError:
        return ["refused"]
    plain = {name: value for name, value in record.items() if isinstance(value, int | float | str)}
    return [checksum(weights), checksum(dict(enumerate(scores))), plain]


def checksum(tensors: Mapping[Any, Tensor]) -> str:
    whole = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        whole.update(f"{name}".encode() + tensor.detach().contiguous().numpy().tobytes())
    return whole.hexdigest()[:16]


if __name__ == "__main__":
    main()
