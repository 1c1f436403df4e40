"""Networks: the three of Ganin et al. 2016, figure 4, a plain one for vectors, and backbones; with domain critics.

Shapes below are for a batch of B images.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from transferlab.config import ModelConfig
from transferlab.data.contract import IMAGES, VECTORS, Kind
from transferlab.errors import require
from transferlab.models.architectures import Conv, architecture, is_backbone
from transferlab.models.normalisation import NORMS, BatchNorm, Domains, Preprocess, said
from transferlab.weights import NONE
from transferlab.weights import file as weights_file

ACTIVATIONS = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}


class ConvNet(nn.Module):
    """Feature extractor G_f and label predictor G_y on inputs [B, *shape].

    ``features`` [B, F] is the flattened output of the last convolution, where the domain critic looks; without
    convolutions it is the last hidden layer, as in the shallow net of the paper's section 4. ``hidden`` [B, D] is the
    last hidden layer; ``forward`` the logits [B, classes]. Each is told of which ``domain`` its inputs are.
    domains: how many the net keeps apart as it normalises, see :class:`BatchNorm`. begun: with the trained weights that
    ``config`` names; false where others are loaded.
    """

    def __init__(
        self,
        config: ModelConfig,
        classes: int,
        shape: Sequence[int],
        preprocess: Preprocess,
        domains: int = 1,
        begun: bool = True,
    ):
        super().__init__()
        self.config, self.domains = config, domains
        self.architecture = architecture(config)
        self.shape, self.preprocess = tuple(shape), preprocess
        # Images come as three channels, spectrograms as one.
        seen = (3, *map(preprocess.side, shape[1:])) if preprocess.of_images else self.shape
        norms = domains if config.batch_norm else 0
        convs, label = self.architecture.convs, self.architecture.label
        if is_backbone(config):
            self.extractor = _backbone(config, seen[-1], domains, begun)
        else:
            self.extractor = _extractor(convs, seen[0], norms, config.activation)
        if not convs and not is_backbone(config):  # where a critic looks, there must be something to learn
            self.extractor.extend(_dense(math.prod(seen), label, norms, config))
            label = ()
        with torch.no_grad(), said(self.extractor, "source"):
            probe = self.extractor.eval()(torch.zeros(1, *seen))
        self.feature_size = probe.shape[1]
        self.extractor.train()
        self.trunk = _dense(self.feature_size, label, norms, config)
        self.hidden_size = label[-1] if label else self.feature_size
        self.head = nn.Linear(self.hidden_size, classes)
        for part in (self.trunk, self.head) if is_backbone(config) else (self,):  # a backbone has its own way
            initialise(part, config)
        # Convolutions in channels-last order are a third faster on CPUs with wide vectors.
        self.to(memory_format=torch.channels_last)

    def train(self, mode: bool = True) -> ConvNet:
        super().train(mode)
        if self.config.batch_norm_frozen and is_backbone(self.config):
            for part in _norms(self.extractor):
                part.eval()
        return self

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
        """What learns, from input to output, each with the batch normalisation behind it; the head is last.

        Convolutions and dense layers, or the blocks of a backbone.
        """
        groups: list[nn.ModuleList] = []
        for module in (*self.extractor, *self.trunk, self.head):
            if groups and isinstance(module, NORMS):
                groups[-1].append(module)
            elif list(module.parameters()):
                groups.append(nn.ModuleList([module]))
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


def _backbone(config: ModelConfig, side: int, domains: int, begun: bool) -> nn.Sequential:
    from transferlab.models.backbones import backbone

    weights = weights_file(config.name, config.weights) if begun and config.weights != NONE else None
    extractor = backbone(config.name, side, domains, weights)
    if config.batch_norm_frozen:
        for part in _norms(extractor):
            part.requires_grad_(False)
    return extractor


def _norms(extractor: nn.Module) -> list[nn.Module]:
    return [part for part in extractor.modules() if isinstance(part, BatchNorm | nn.BatchNorm2d)]


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
