"""What the networks are, without torch: the published columns, what a config makes of them, what inputs they take."""

from __future__ import annotations

from dataclasses import dataclass, replace

from transferlab.config import ModelConfig
from transferlab.data.contract import IMAGES, SPECTROGRAMS, VECTORS, Kind
from transferlab.errors import require
from transferlab.weights import NONE


@dataclass(frozen=True)
class Conv:
    """A convolution, then max-pooling (window, stride) where ``pool`` is given."""

    kernel: int
    maps: int
    pool: tuple[int, int] | None
    padding: int = 0


@dataclass(frozen=True)
class Architecture:
    """One column of figure 4: feature extractor, label predictor's and critic's hidden widths.

    Of a backbone, which :mod:`~transferlab.models.backbones` makes, only the widths of what comes behind it.
    """

    convs: tuple[Conv, ...]
    label: tuple[int, ...]
    critic: tuple[int, ...]

    @property
    def layers(self) -> int:
        """Convolutions and dense layers, the head included."""
        return len(self.convs) + len(self.label) + 1

    def fits(self, side: int) -> bool:
        """Whether inputs of so many pixels, the shorter side, are large enough for every convolution and pooling."""
        for conv in self.convs:
            side += 2 * conv.padding - conv.kernel + 1
            if conv.pool and side > 0:
                side = (side - conv.pool[0]) // conv.pool[1] + 1
        return side > 0


# The papers do not state padding. The MNIST net has none here; 32x32 images do not fit the SVHN net without it, and
# later code by others pads the GTSRB net too, for 6,400 features of 40x40 images.
ARCHITECTURES = {
    "ganin_mnist": Architecture((Conv(5, 32, (2, 2)), Conv(5, 48, (2, 2))), (100, 100), (100,)),
    "ganin_svhn": Architecture(
        (Conv(5, 64, (3, 2), 2), Conv(5, 64, (3, 2), 2), Conv(5, 128, None, 2)), (3072, 2048), (1024, 1024)
    ),
    "ganin_gtsrb": Architecture(
        (Conv(5, 96, (2, 2), 2), Conv(3, 144, (2, 2), 1), Conv(5, 256, (2, 2), 2)), (512,), (1024, 1024)
    ),
    # Not in the paper: LeNet-5's three convolutions (LeCun et al. 1998), whose last leaves one pixel of a 32x32 image.
    "lenet": Architecture((Conv(5, 32, (2, 2)), Conv(5, 48, (2, 2)), Conv(5, 128, None)), (100, 100), (100,)),
    "mlp": Architecture((), (256, 256), (100,)),
}


BACKBONE = Architecture((), (), (1024, 1024))
"""Behind one, frozen or not, nothing but the head stands by default."""


def is_backbone(config: ModelConfig) -> bool:
    """Whether the net that learns is one of a library's, for images alone; a frozen one gives it its inputs."""
    return config.name not in ARCHITECTURES and not config.frozen


def is_pretrained(config: ModelConfig) -> bool:
    """Whether the backbone begins with trained weights and learns on."""
    return config.weights != NONE and not config.frozen


def depth(config: ModelConfig) -> int:
    """How many layers, or blocks of a backbone, the net has, the head included.

    Raises :class:`~transferlab.errors.UserError` for a name that is none, or for images that a backbone cannot take.
    """
    if not is_backbone(config):
        return architecture(config).layers
    from transferlab.models import backbones  # loads torch and torchvision

    backbones.check_name(config.name, list(ARCHITECTURES))
    return backbones.depth(config.name, config.input_size) + architecture(config).layers


def architecture(config: ModelConfig) -> Architecture:
    """What ``config`` makes of a published one: ``width`` times the maps and hidden units, except for the critic."""
    published = ARCHITECTURES.get(config.name, BACKBONE)
    label = published.label if config.hidden is None else config.hidden
    return Architecture(
        convs=tuple(replace(conv, maps=max(1, round(conv.maps * config.width))) for conv in published.convs),
        label=tuple(max(1, round(n * config.width)) for n in label),
        critic=published.critic if config.critic is None else tuple(config.critic),
    )


NORMALISATIONS: dict[Kind, tuple[str, ...]] = {
    IMAGES: ("mean", "image", "channel"),
    VECTORS: ("standardise", "domain", "l1", "l2", "none"),
    SPECTROGRAMS: ("standardise", "domain", "none"),
}
"""The ways to normalise each kind of input, the usual one first."""
OF_WEIGHTS = "weights"
"""The way of images that a net with trained weights was shown; it follows from them."""


def normalisation_of(config: ModelConfig, kind: Kind) -> str:
    """Which of :data:`NORMALISATIONS` ``config`` asks for, or :data:`OF_WEIGHTS`.

    Raises :class:`~transferlab.errors.UserError` where it is for another kind of input.
    """
    allowed = NORMALISATIONS[kind]
    if config.normalisation == "auto" and is_pretrained(config):
        return OF_WEIGHTS
    usual = "l2" if config.frozen else allowed[0]
    how = usual if config.normalisation == "auto" else config.normalisation
    require(how in allowed, f"model.normalisation={how}: not for {kind}, which allow auto, {', '.join(allowed)}")
    return how


ONE_DOMAIN = "model.normalisation=domain: this method makes a net from the inputs of one domain only"
