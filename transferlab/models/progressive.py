"""Progressive neural networks (Rusu et al., arXiv 1606.04671, 2016): columns, each fed by all earlier ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from transferlab.build import build
from transferlab.config import ModelConfig
from transferlab.models.convnet import ConvNet
from transferlab.models.normalisation import Preprocess
from transferlab.models.predictor import Predictor


class Lateral(nn.Module):
    """What one layer of a column takes from the earlier columns' layer below.

    With an adapter (the paper's section 2): U relu(V (alpha h)), where h is the earlier columns' layer side by side,
    each scaled by a learned alpha, and V (1x1 for maps) brings it to ``inner`` units, as many as the column's own layer
    below has: what the paper's dimensions of V give; its text says the layer above. Without: U h (equation 2).
    """

    def __init__(self, layer: nn.Conv2d | nn.Linear, earlier: Sequence[int], inner: int, alpha: float, adapter: bool):
        super().__init__()
        self.alpha = nn.ParameterList([nn.Parameter(torch.tensor(alpha)) for _ in earlier]) if adapter else None
        is_conv = isinstance(layer, nn.Conv2d)
        total, out = sum(earlier), layer.weight.shape[0]
        self.V: nn.Module | None = None
        if adapter:
            self.V = nn.Conv2d(total, inner, 1) if is_conv else nn.Linear(total, inner)
        width = inner if adapter else total
        self.U = (
            nn.Conv2d(width, out, layer.kernel_size, padding=layer.padding, bias=False)  # type: ignore[arg-type]
            if is_conv
            else nn.Linear(width, out, bias=False)
        )

    def forward(self, below: Sequence[Tensor]) -> Tensor:
        if self.V is None:
            return self.U(torch.cat(list(below), 1))
        assert self.alpha is not None
        scaled = torch.cat([a * h for a, h in zip(self.alpha, below, strict=True)], 1)
        return self.U(torch.relu(self.V(scaled)))


class Column(nn.Module):
    """A :class:`ConvNet` whose layers, from the second on, also get what ``earlier`` columns have below them."""

    def __init__(self, net: ConvNet, earlier: Sequence[ConvNet], alpha: float, adapter: bool):
        super().__init__()
        self.net = net
        laterals: list[nn.Module] = []
        for depth in range(1, len(net.layers)) if earlier else []:
            layer = net.layers[depth][0]
            assert isinstance(layer, nn.Conv2d | nn.Linear)
            widths = [_input_width(other.layers[depth][0]) for other in earlier]
            laterals.append(Lateral(layer, widths, _input_width(layer), alpha, adapter))
        self.laterals = nn.ModuleList(laterals)

    def forward(self, inputs: Tensor, below: Sequence[Sequence[Tensor]]) -> list[Tensor]:
        """The input of each layer, and last the logits; ``below`` are the same lists of the earlier columns."""
        net = self.net
        x, depth, trace = net.preprocess(inputs), -1, []
        for module in (*net.extractor, *net.trunk, net.head):
            if not isinstance(module, nn.Conv2d | nn.Linear):
                x = module(x)
                continue
            depth += 1
            trace.append(x)
            x = module(x)
            if depth and self.laterals:
                x = x + self.laterals[depth - 1]([other[depth] for other in below])
        return [*trace, x]


def _input_width(layer: nn.Module) -> int:
    assert isinstance(layer, nn.Conv2d | nn.Linear)
    return layer.weight.shape[1]


class Progressive(Predictor):
    """Columns in the order in which they were trained; the last one answers for the target."""

    def __init__(self, columns: Sequence[ConvNet], alpha: float = 0.1, adapter: bool = True):
        domains = ("source", "target") if len(columns) == 2 else ("target",)
        super().__init__(domains, scores_are_logits=True)
        self.alpha, self.adapter = alpha, adapter
        self.columns = nn.ModuleList(
            [Column(net, columns[:place], alpha, adapter) for place, net in enumerate(columns)]
        )

    def traces(self, inputs: Tensor, columns: int | None = None) -> list[list[Tensor]]:
        """Each column's layer inputs and logits, for the first ``columns``, all by default."""
        traces: list[list[Tensor]] = []
        for column in list(self.columns)[:columns]:
            traces.append(column(inputs, traces))
        return traces

    def logits(self, inputs: Tensor) -> Tensor:
        return self.traces(inputs)[-1][-1].float()

    def check(self, inputs: Tensor) -> None:
        column = self.columns[0]
        assert isinstance(column, Column)
        column.net.check(inputs)

    def answer(self, inputs: Tensor, domain: str) -> tuple[Tensor, Tensor]:
        trace = self.traces(inputs, 1 if domain == "source" else None)[-1]
        return trace[-2], trace[-1]

    def description(self) -> dict[str, Any]:
        nets = [column.net for column in self.columns if isinstance(column, Column)]
        return {
            "models": [dataclasses.asdict(net.config) for net in nets],
            "classes": [net.head.out_features for net in nets], "normalisations": [net.preprocess.how for net in nets],
            "shape": list(nets[0].shape), "alpha": self.alpha, "adapter": self.adapter,
        }  # fmt: skip

    @classmethod
    def rebuild(cls, description: dict[str, Any], tensors: dict[str, Tensor]) -> Progressive:
        nets = []
        of_each = (description[part] for part in ("models", "classes", "normalisations"))
        for place, (plain, classes, how) in enumerate(zip(*of_each, strict=True)):
            model = build(ModelConfig, plain, "model")
            preprocess = Preprocess.rebuild(how, tensors, f"columns.{place}.net.preprocess")
            nets.append(ConvNet(model, classes, description["shape"], preprocess))
        return cls(nets, description["alpha"], description["adapter"])
