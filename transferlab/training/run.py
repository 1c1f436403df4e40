"""What a method may use of the program, and nothing that leads on: no folder, no test input, nothing measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from transferlab.config import ModelConfig
from transferlab.inputs import Inputs
from transferlab.models.convnet import ConvNet, DomainCritic
from transferlab.models.normalisation import normalisation
from transferlab.problem import Batch, Labelled, Problem
from transferlab.randomness import key

Losses = dict[str, Tensor]
Loss = Callable[[Batch, float], Losses]
Draw = Callable[[str, int], Batch]
ParameterOptions = Mapping[str, Mapping[str, float]]


def minimise_sum(losses: Losses) -> None:
    """Gradients of the sum of the losses; those that carry no gradient are only logged."""
    torch.stack([value for value in losses.values() if value.requires_grad]).sum().backward()


@dataclass(frozen=True)
class Update:
    """A step of the optimiser on ``loss``, one of several that a step of training may consist of.

    of: the modules whose parameters it moves, by their names in :meth:`Run.train`; all by default. The others keep
    theirs and get no gradient. times: how often in a row, the loss being computed again. gradients: how to combine
    the losses other than by their sum. after: what follows each time without a gradient, such as a teacher's update
    from its student.
    """

    loss: Loss
    of: Sequence[str] = ()
    times: int = 1
    gradients: Callable[[Losses], None] = minimise_sum
    after: Callable[[Batch], None] | None = None


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """float32 unchanged; bf16 where the operation supports it, while weights and losses stay float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16", cache_enabled=False)


class Run:
    """A method's run: networks, seeded randomness, and named stages that are durable.

    What a method hands in is trained, measured and kept; no measurement comes back.
    batch_size: the configured number of samples of each domain in a step. model: the network that is asked for.
    """

    def __init__(self, model: ModelConfig, batch_size: int, seed: int, device: torch.device, precision: str):
        self.model, self.batch_size, self.seed = model, batch_size, seed
        self.device, self.precision = device, precision

    def __del__(self) -> None:
        _engines.pop(id(self), None)

    def net(
        self, problem: Problem[Any, Any], domain: str | None = None, name: str = "net", joint: bool = False
    ) -> ConvNet:
        """A freshly initialised network on the device, for the classes of ``domain`` and normalised by its inputs.

        Without ``domain``: for the target's classes, normalised over all visible domains equally. Such a net keeps
        separate batch statistics for each domain, where it has any, and so does one that is ``joint``, whose layers
        both domains share. ``name`` seeds the initialisation.
        """
        inputs = [view.inputs for view in problem.seen(*[domain] if domain else [])]
        preprocess = normalisation(self.model, problem.kind, inputs)
        classes = problem.source_classes if domain == "source" else problem.classes
        shape = max(tuple(part.shape[1:]) for part in inputs)
        with self.seeded(name):
            return ConvNet(self.model, len(classes), shape, preprocess, 2 if joint else len(inputs)).to(self.device)

    def critic(self, net: ConvNet) -> DomainCritic:
        """A freshly initialised domain critic for the features of ``net``, on the device."""
        with self.seeded("critic"):
            return DomainCritic(net, self.model).to(self.device)

    @contextmanager
    def seeded(self, *parts: Any) -> Iterator[None]:
        """Randomness inside is a function of (seed, parts), and leaves none behind."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(key(self.seed, *parts))
            yield

    def autocast(self) -> torch.autocast:
        """The precision that the config asks for."""
        return autocast(self.device, self.precision)

    def train(
        self,
        stage: str,
        modules: dict[str, nn.Module],
        updates: Loss | Sequence[Update],
        batches: Draw,
        predictor: nn.Module | None = None,
        steps: int | None = None,
        options: ParameterOptions | None = None,
    ) -> None:
        """Minimise the sum of the tensors that ``loss(batch, progress)`` returns over all parameters not frozen.

        updates: that loss, or what a step consists of, one after the other on the same batch; of losses of one name the
        last is logged. batches: (stage, step) -> :class:`Batch`. progress goes from 0 towards 1. Returned tensors that
        carry no gradient are logged and not minimised. predictor is evaluated ``train.evaluations`` times meanwhile.
        steps: instead of ``train.steps``. options: for parameters whose name starts with a key, ``lr`` as a factor
        on the learning rate, and ``weight_decay``.
        With ``train.average`` the moving average of the weights is what is evaluated and what the stage ends with;
        where a validator selects, it ends with the evaluated state that scored best, the latest of equals.
        Raises :class:`Diverged` where a loss is not finite at a log point, and KeyboardInterrupt after a
        checkpoint where the process is asked to stop.
        """
        _engines[id(self)].train(stage, modules, updates, batches, predictor, steps, options)

    def train_shared(
        self,
        stage: str,
        modules: dict[str, nn.Module],
        loss: Loss,
        batches: Draw,
        data: Labelled,
        predictor: nn.Module | None = None,
    ) -> None:
        """:meth:`train`, or load from the store what another run has trained from the same ``data`` and weights.

        It must be the run's first stage. With a predictor, which is measured on this run's target during training,
        the stage is always trained; its result is stored but never loaded. The counters (steps, seconds) are the same
        either way.
        """
        _engines[id(self)].train_shared(stage, modules, loss, batches, data, predictor)

    def once(self, stage: str, compute: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        """The tensors that ``compute`` returns, computed once in the life of the run."""
        return _engines[id(self)].once(stage, compute)

    def once_shared(
        self,
        stage: str,
        compute: Callable[[], dict[str, Tensor]],
        ingredients: Mapping[str, Tensor | Inputs],
        settings: Mapping[str, Any],
    ) -> dict[str, Tensor]:
        """:meth:`once`, or load from the store what another run has computed from the same ingredients and settings.

        They and the seed must be all that determines the result, and it must be the run's first stage.
        """
        return _engines[id(self)].once_shared(stage, compute, ingredients, settings)

    def candidate(self, name: str, predictor: nn.Module) -> None:
        """Measure a predictor that is one of several to choose from, such as a dimension d of a subspace."""
        _engines[id(self)].candidate(name, predictor)

    def choose(self, names: Sequence[str]) -> str:
        """Which of the measured candidates is best by ``select``; by held-out source accuracy where that is ``last``.

        No target label is looked at, and a method learns nothing but the name. Of equals it is the last, and where
        nothing could be held out the last of all.
        """
        return _engines[id(self)].choose(names)

    def source_model(self, predictor: nn.Module) -> None:
        """Measure the source's own model, before any transfer."""
        _engines[id(self)].source_model(predictor)

    def report(self, values: Mapping[str, float]) -> None:
        """The method's own entries in results.json."""
        _engines[id(self)].report(values)


_engines: dict[int, Run] = {}
"""Who does the work of each run, by the run's ``id``: kept here, where nothing that a method holds leads; a weak
reference would lead back."""


def given_to_method(engine: Run) -> Run:
    """The run that a method gets, whose work ``engine`` does."""
    run = Run(engine.model, engine.batch_size, engine.seed, engine.device, engine.precision)
    _engines[id(run)] = engine
    return run
