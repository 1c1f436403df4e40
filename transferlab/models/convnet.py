"""The three networks of Ganin et al. 2016, figure 4, with their domain critics; and a plain one for vectors.

Shapes below are for a batch of B images.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transferlab.config import ModelConfig
from transferlab.data.contract import IMAGES, VECTORS, Kind
from transferlab.errors import require
from transferlab.models.architectures import (
    NORMALISATIONS,
    ONE_DOMAIN,
    Conv,
    architecture,
    normalisation_of,
)

ACTIVATIONS = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}


Domains = str | Sequence[tuple[str, int]] | None
"""Of which domain inputs are: of source or target all, or so many of each, one after the other; None: not said."""
DOMAINS = ("source", "target")


@contextmanager
def said(modules: nn.Module, domains: Domains) -> Iterator[None]:
    """Inside, layers that keep the domains apart treat what passes them as inputs of ``domains``."""
    layers = [module for module in modules.modules() if isinstance(module, BatchNorm | Preprocess)]
    for layer in layers:
        layer.said = domains
    try:
        yield
    finally:
        for layer in layers:
            layer.said = None


def by_domain(x: Tensor, rows: int, domains: Domains) -> list[tuple[Tensor, int]]:
    """Parts of [B, ...] that are of one domain each, and which of ``rows`` of statistics is its own."""
    if rows == 1:
        return [(x, 0)]
    if domains is None:
        raise RuntimeError("the net keeps the domains apart; say of which its inputs are")
    if isinstance(domains, str):
        return [(x, DOMAINS.index(domains))]
    parts = x.split([count for _, count in domains])
    return [(part, DOMAINS.index(name)) for part, (name, _) in zip(parts, domains, strict=True)]


def whole(parts: Sequence[Tensor]) -> Tensor:
    """Parts [B_i, ...] as one [B, ...]; a single one is not copied."""
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))


OWN: dict[str, tuple[int, ...]] = {"image": (1, 2, 3), "channel": (2, 3)}
"""Which dimensions of [B, C, H, W] an image's own mean and variance go over."""


class Preprocess(nn.Module):
    """Inputs as the network wants them, float32, brought to it by one of :data:`NORMALISATIONS`, ``how``.

    uint8 images [B, C, H, W] -> [B, 3, H, W], scaled to [0, 1]; mean: subtracts the channel means ``mean`` [3], the
    papers' only preprocessing; image, channel: each image is brought to zero mean and unit variance, over all its
    values or channel by channel.

    Other inputs [B, ...] keep their shape. standardise: by ``mean`` and ``deviation`` [1, D], for spectrograms [1, 1];
    domain: by those of the input's own domain, [domains, D]; l1, l2: each vector to a sum of magnitudes or a length of
    1; none: nothing.
    """

    said: Domains = None
    mean: Tensor | None
    deviation: Tensor | None

    def __init__(self, how: str, mean: Tensor | None = None, deviation: Tensor | None = None):
        super().__init__()
        self.how = how
        self.register_buffer("mean", mean)
        self.register_buffer("deviation", deviation)

    @classmethod
    def rebuild(cls, how: str, tensors: Mapping[str, Tensor], place: str) -> Preprocess:
        """The preprocessing whose tensors were saved under names that begin with ``place``."""
        return cls(how, tensors.get(f"{place}.mean"), tensors.get(f"{place}.deviation"))

    @property
    def of_images(self) -> bool:
        return self.how in NORMALISATIONS[IMAGES]

    def forward(self, inputs: Tensor) -> Tensor:
        if self.of_images:
            return self._of_images(inputs)
        if self.how in ("l1", "l2"):
            return F.normalize(inputs, p=int(self.how[1]), dim=1)
        if self.mean is None:
            return inputs
        assert self.deviation is not None
        parts = by_domain(inputs, len(self.mean), self.said)
        return whole([(part - self.mean[row]) / self.deviation[row] for part, row in parts])

    def _of_images(self, inputs: Tensor) -> Tensor:
        if self.mean is not None:  # before the change of order, after which it would take three times as long
            x = inputs.to(torch.float32).div_(255) - self.mean.view(1, 3, 1, 1)
            return x.contiguous(memory_format=torch.channels_last)
        x = inputs.expand(-1, 3, -1, -1).to(torch.float32, memory_format=torch.channels_last).div_(255)
        variance, mean = torch.var_mean(x, dim=OWN[self.how], keepdim=True, correction=0)
        return x.sub_(mean).mul_((variance + 1e-5).rsqrt())


def normalisation(config: ModelConfig, kind: Kind, samples: Sequence[Tensor]) -> Preprocess:
    """The preprocessing fitted on training inputs of one kind, of one or more domains, which weigh the same.

    Raises :class:`~transferlab.errors.UserError` where ``config.normalisation`` is for another kind of input.
    """
    how = normalisation_of(config, kind)
    if how == "mean":
        return Preprocess(how, torch.stack([mean_over_images(part).expand(3) for part in samples]).mean(0))
    if how not in ("standardise", "domain"):
        return Preprocess(how)
    over = 0 if kind == VECTORS else None  # each feature of a vector, all values of a spectrogram
    # On the CPU: in float64, which not every accelerator has.
    exact = [part.cpu().double() for part in samples]
    means = torch.stack([part.mean(over).view(-1) for part in exact])  # [domains, D]
    if how == "standardise":
        means = means.mean(0, keepdim=True)
    else:
        require(len(samples) > 1, ONE_DOMAIN)
    # In a second pass: the difference of mean squares and squared mean would leave nothing of a small deviation.
    about = means.expand(len(samples), -1)
    squares = [(part - mean).square().mean(over).view(-1) for part, mean in zip(exact, about, strict=True)]
    variance = torch.stack(squares) if how == "domain" else torch.stack(squares).mean(0, keepdim=True)
    return Preprocess(how, means.float(), or_one(variance.sqrt(), means).float())


def or_one(deviation: Tensor, mean: Tensor) -> Tensor:
    """``deviation``, or 1 where it is nothing beside ``mean`` in float32: a constant is not to be blown up."""
    return torch.where(deviation > torch.finfo(torch.float32).eps * mean.abs(), deviation, 1.0)


def mean_over_images(inputs: Tensor) -> Tensor:
    """Channel means of uint8 [N, C, H, W], scaled to [0, 1]: float32 [C]; exact sums, in pieces."""
    # Whole numbers of 32 bits hold an image's sum, and are added twice as fast as those of 64.
    total = torch.cat([part.flatten(2).sum(2, dtype=torch.int32) for part in inputs.split(10_000)]).sum(0)
    return (total.double() / (255 * inputs[:, 0].numel())).float()


class BatchNorm(nn.Module):
    """Batch normalisation of [B, F, ...] with statistics for each of ``domains``; scale and shift are shared.

    Inputs are normalised with others of their own domain alone, in training by the batch's statistics and otherwise by
    running ones (Li et al., Revisiting Batch Normalization for Practical Domain Adaptation, 2016). With one domain it
    is the usual layer.
    """

    said: Domains = None
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, features: int, domains: int):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(features)), nn.Parameter(torch.zeros(features))
        self.register_buffer("running_mean", torch.zeros(domains, features))
        self.register_buffer("running_var", torch.ones(domains, features))

    def forward(self, x: Tensor) -> Tensor:
        parts = by_domain(x, len(self.running_mean), self.said)
        return whole([self._normalised(part, row) for part, row in parts])

    def _normalised(self, x: Tensor, row: int) -> Tensor:
        mean, variance = self.running_mean[row], self.running_var[row]
        return F.batch_norm(x, mean, variance, self.weight, self.bias, self.training)


class ConvNet(nn.Module):
    """Feature extractor G_f and label predictor G_y on inputs [B, *shape].

    ``features`` [B, F] is the flattened output of the last convolution, where the domain critic looks; without
    convolutions it is the last hidden layer, as in the shallow net of the paper's section 4. ``hidden`` [B, D] is the
    last hidden layer; ``forward`` the logits [B, classes]. Each is told of which ``domain`` its inputs are.
    domains: how many the net keeps apart as it normalises, see :class:`BatchNorm`.
    """

    def __init__(
        self, config: ModelConfig, classes: int, shape: Sequence[int], preprocess: Preprocess, domains: int = 1
    ):
        super().__init__()
        self.config, self.domains = config, domains
        self.architecture = architecture(config)
        self.shape, self.preprocess = tuple(shape), preprocess
        # Images come as three channels, spectrograms as one.
        seen = (3, *shape[1:]) if preprocess.of_images else self.shape
        norms = domains if config.batch_norm else 0
        convs, label = self.architecture.convs, self.architecture.label
        self.extractor = _extractor(convs, seen[0], norms, config.activation)
        if not convs:  # where a critic looks, there must be something to learn
            self.extractor.extend(_dense(math.prod(seen), label, norms, config))
        with torch.no_grad(), said(self.extractor, "source"):
            probe = self.extractor.eval()(torch.zeros(1, *seen))
        self.feature_size = probe.shape[1]
        self.extractor.train()
        self.trunk = _dense(self.feature_size, label if convs else (), norms, config)
        self.hidden_size = label[-1] if label else self.feature_size
        self.head = nn.Linear(self.hidden_size, classes)
        initialise(self, config)
        # Convolutions in channels-last order are a third faster on CPUs with wide vectors.
        self.to(memory_format=torch.channels_last)

    def check(self, inputs: Tensor) -> None:
        """Refuse inputs of another kind or shape than the net's; images may be grey or coloured."""
        of_images, given = self.preprocess.of_images, tuple(inputs.shape[1:])
        sides = ", ".join(map(str, self.shape[1:] if of_images else self.shape))
        if of_images:
            fits = of_kind(inputs, IMAGES) and given[1:] == self.shape[1:] and given[:1] in ((1,), (3,))
            return check_inputs(fits, f"uint8 images [B, 1 or 3, {sides}]", inputs)
        check_inputs(inputs.is_floating_point() and given == self.shape, f"float32 inputs [B, {sides}]", inputs)

    @property
    def layers(self) -> list[nn.ModuleList]:
        """Convolutions and dense layers from input to output, each with its batch normalisation; the head is last."""
        groups: list[nn.ModuleList] = []
        for module in (*self.extractor, *self.trunk, self.head):
            if isinstance(module, nn.Conv2d | nn.Linear):
                groups.append(nn.ModuleList([module]))
            elif list(module.parameters()):
                groups[-1].append(module)
        return groups

    def features(self, inputs: Tensor, domain: Domains = None) -> Tensor:
        with said(self, domain):
            return self.extractor(self.preprocess(inputs))

    def hidden(self, features: Tensor, domain: Domains = None) -> Tensor:
        with said(self.trunk, domain):
            return self.trunk(features)

    def classify(self, features: Tensor, domain: Domains = None) -> Tensor:
        """Logits [B, classes] of features: float32, whatever precision the layers compute in."""
        return self.head(self.hidden(features, domain)).float()

    def forward(self, inputs: Tensor, domain: Domains = None) -> Tensor:
        return self.classify(self.features(inputs, domain), domain)


def of_kind(inputs: Tensor, kind: Kind) -> bool:
    """Whether inputs [B, ...] may be of the ``kind`` that is said of them: what is no image must be floating point."""
    if kind == IMAGES:
        return inputs.dtype == torch.uint8 and inputs.dim() == 4
    return inputs.is_floating_point() and inputs.dim() == (2 if kind == VECTORS else 4)


def check_inputs(fits: bool, wanted: str, inputs: Tensor) -> None:
    """Raise :class:`~transferlab.errors.UserError` where ``inputs`` are not what is ``wanted``."""
    given = f"{str(inputs.dtype).removeprefix('torch.')} {list(inputs.shape)}"
    require(fits, f"a predictor of {wanted} was given {given}")


class DomainCritic(nn.Sequential):
    """The domain classifier G_d: features [B, F] -> float32 logits [B] that an image is of the target domain.

    It has no batch normalisation: with each domain normalised by itself, it could not see that their means differ.
    """

    def __init__(self, net: ConvNet, config: ModelConfig):
        widths = architecture(config).critic
        dense = _dense(net.feature_size, widths, 0, replace(config, dropout=0.0))
        super().__init__(*dense, nn.Linear(widths[-1] if widths else net.feature_size, 1), nn.Flatten(0))
        initialise(self, config)

    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features).float()


def _extractor(convs: Sequence[Conv], channels: int, norms: int, activation: str) -> nn.Sequential:
    """Convolutions, with batch normalisation for ``norms`` domains; 0: none."""
    layers: list[nn.Module] = []
    for conv in convs:
        layers.append(nn.Conv2d(channels, conv.maps, conv.kernel, padding=conv.padding))
        if norms:
            layers.append(BatchNorm(conv.maps, norms))
        if conv.pool:
            layers.append(nn.MaxPool2d(*conv.pool))
        # After pooling: the same function as before it, on a quarter of the values, since all of them only rise.
        layers.append(ACTIVATIONS[activation]())
        channels = conv.maps
    return nn.Sequential(*layers, nn.Flatten())


def _dense(size: int, widths: Sequence[int], norms: int, config: ModelConfig) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width in widths:
        if config.dropout:
            layers.append(nn.Dropout(config.dropout))
        layers.append(nn.Linear(size, width))
        if norms:
            layers.append(BatchNorm(width, norms))
        layers.append(ACTIVATIONS[config.activation]())
        size = width
    return nn.Sequential(*layers)


def initialise(module: nn.Module, config: ModelConfig) -> None:
    """Glorot uniform weights and zero biases (Glorot & Bengio 2010), unless PyTorch's default is asked for."""
    if config.initialisation == "torch":
        return
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
