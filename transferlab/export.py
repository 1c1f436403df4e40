"""The verb export: a trained model as one file that other programs run, compared with the model on real inputs."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from transferlab import compatibility, trained
from transferlab.errors import UserError, require
from transferlab.files import expanded
from transferlab.randomness import fair_sample
from transferlab.trained import TrainedModel, pictures_in, place_for

DEFAULTS = {"run": "", "out": "", "root": "", "data.root": "", "domain": "target"}
SUFFIXES = (".onnx", ".pt2")
COMPARED = 100
"""Real inputs on which the file's answers are compared with the model's."""
TOLERANCE = 1e-3
"""Largest difference of a probability, or of a score as a share of the largest, that passes for rounding."""
NEEDS_ONNX = "needs onnx, onnxscript and onnxruntime; pip install 'transferlab[export]'"


class Exported(nn.Module):
    """The model from inputs [B, ...] to probabilities float32 [B, C], or to scores where it has no probabilities."""

    def __init__(self, model: TrainedModel):
        super().__init__()
        # In torch's own order, which files keep.
        self.model, self.are_logits = model.to(memory_format=torch.contiguous_format), model.predictor.scores_are_logits

    def forward(self, inputs: Tensor) -> Tensor:
        scores = self.model(inputs)
        return scores.softmax(1) if self.are_logits else scores


def run(given: Mapping[str, str]) -> int:
    """Write the file, say how it was compared, and what it takes and gives."""
    options = {**DEFAULTS, **given}
    require(options["run"] != "", "export: say which run's folder, with run=…")
    out = expanded(options["out"])
    require(out.suffix in SUFFIXES, f"out={options['out']}: allowed are names that end in {' or '.join(SUFFIXES)}")
    place_for(out)
    model = trained.load(options["run"], domain=options["domain"])
    inputs = _real(model, options["root"], options["data.root"])
    exported = Exported(model).eval()
    write = _write_onnx if out.suffix == ".onnx" else _write_torch
    with tempfile.TemporaryDirectory(prefix=".export-", dir=out.parent) as folder:
        partial = Path(folder) / out.name
        like = torch.zeros_like(inputs[:2])  # no picture goes into the file
        try:
            write(exported, like, description(model), partial)
        except UserError:
            raise
        except Exception as error:  # where what a model computes depends on its numbers, as iterated codes do
            reason = " ".join(re.sub(r"\x1b\[[0-9;]*m", "", str(error)).split())[:100]
            what = f"method={model.config.names['method']}: torch cannot export what it computes"
            raise UserError(f"{what} ({type(error).__name__}: {reason})") from None
        difference, same = _compare(exported, partial, inputs)
        told = f"on {len(inputs)} real inputs the largest difference to the model is {difference:.1e}"
        require(difference <= TOLERANCE, f"{out}: not written: {told}; more than {TOLERANCE:g}")
        partial.replace(out)
    print(f"{out}: {out.stat().st_size / 2**20:.1f} MiB; {told}, {same} of {len(inputs)} get the same class")
    print("takes {input}; gives {output}; its classes are in its metadata".format(**description(model)))
    return 0


def description(model: TrainedModel) -> dict[str, Any]:
    """What stands in the file beside the net: what it takes and gives, its classes, and what it was trained on."""
    names = model.config.names
    values = "probabilities" if model.predictor.scores_are_logits else "scores"
    return {
        "input": _takes(model), "output": f"{values} float32 [N, {len(model.classes)}]", "classes": list(model.classes),
        "method": names["method"], "source": names["source"], "target": names["target"], "seed": model.config.seed,
        "data": {split: of.get("sha256") or of.get("files") for split, of in model.data.items()},
    }  # fmt: skip


def _takes(model: TrainedModel) -> str:
    if model.size is None:
        return f"float32 [{', '.join(map(str, _shape(model)))}] of the kind that it learned from"
    channels, how = (3, "RGB") if model.channels == 3 else (1, "grey")
    size = f"[N, {channels}, {model.size}, {model.size}]"
    return f"uint8 {size}, {how}, the shorter side scaled (bilinear) and the centre kept"


def _shape(model: TrainedModel) -> list[Any]:
    (shape,) = {tuple(split["shape"]) for role, split in model.data.items() if role.startswith(model.domain)}
    return ["N", *shape]


def _real(model: TrainedModel, root: str, data_root: str) -> Tensor:
    """Inputs as the model takes them: of its run's test data, or the pictures in ``root``."""
    if root:
        paths, _ = pictures_in(expanded(root))
        return model.inputs(paths[:COMPARED])
    try:
        images = compatibility.domain(trained.with_root(model.config, data_root), model.domain, seen=False)
        inputs = images.load("test").inputs
    except UserError as error:
        raise UserError(f"export: compares on the run's test data, and {error}; or name pictures with root=…") from None
    return model.sized(torch.from_numpy(np.array(inputs[fair_sample(len(inputs), COMPARED)])))


def _write_torch(exported: Exported, like: Tensor, about: Mapping[str, Any], path: Path) -> None:
    """A program of torch.export's, for any number of inputs ``like`` these, which runs without this package."""
    batch = torch.export.Dim("batch")
    program = torch.export.export(exported, (like,), dynamic_shapes=({0: batch},))
    torch.export.save(program, path, extra_files={"transferlab.json": json.dumps(about)})


def _write_onnx(exported: Exported, like: Tensor, about: Mapping[str, Any], path: Path) -> None:
    try:
        import onnx
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError:
        raise UserError(f"out={path.name}: {NEEDS_ONNX}") from None
    program = torch.onnx.export(
        exported, (like,), input_names=["input"], output_names=["output"], dynamo=True, verbose=False,
        dynamic_shapes=({0: torch.export.Dim("batch")},),
    )  # fmt: skip
    assert program is not None
    net = program.model_proto
    onnx.helper.set_model_props(net, {key: str(v) if isinstance(v, str) else json.dumps(v) for key, v in about.items()})
    onnx.save(net, path)


def _compare(exported: Exported, path: Path, inputs: Tensor) -> tuple[float, int]:
    """The largest difference between the file's answers and the model's, and how often both say the same class.

    Of probabilities, or of scores as a share of the largest.
    """
    with torch.no_grad():
        ours = torch.cat([exported(part) for part in inputs.split(16)]).numpy()
    theirs = np.concatenate([answer(path, part) for part in inputs.split(16)])
    scale = 1.0 if exported.are_logits else np.abs(ours).max()
    return float(np.abs(ours - theirs).max() / scale), int((ours.argmax(1) == theirs.argmax(1)).sum())


def answer(path: Path, inputs: Tensor) -> np.ndarray:
    """What the file at ``path`` says of inputs [N, ...]: float32 [N, C]."""
    if path.suffix == ".onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        (answers,) = session.run(None, {"input": inputs.numpy()})
        return np.asarray(answers)
    with torch.no_grad():
        return torch.export.load(path).module()(inputs).numpy()
