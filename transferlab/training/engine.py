"""The training engine: named durable stages.

A method calls ``run.train`` and ``run.once``. A finished stage is loaded, an unfinished one goes on at its
last checkpoint, and what a step draws is a function of (seed, stage, step): so the method's code is the same
in a fresh and in a resumed run, and both end alike, bit for bit on a CPU.
"""

from __future__ import annotations

import itertools
import json
import logging
import math
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from transferlab import augmentation, storage
from transferlab.config import Config
from transferlab.errors import Diverged, UserError
from transferlab.inputs import Inputs
from transferlab.models.normalisation import shown
from transferlab.problem import Labelled
from transferlab.randomness import seed
from transferlab.runs import RunFolder, orphaned
from transferlab.training import checkpoint, parameters
from transferlab.training.average import Average
from transferlab.training.checkpoint import TrainingState
from transferlab.training.progress import Progress
from transferlab.training.run import Draw, Loss, Losses, ParameterOptions, Run, Update
from transferlab.training.schedules import rate
from transferlab.training.stopwatch import Stopwatch
from transferlab.training.store import Store, content_key
from transferlab.validators import best_row

log = logging.getLogger(__name__)


class Engine(Run):
    """What is done for one run of one method, which itself gets no more than :class:`~transferlab.training.run.Run`.

    evaluate: called with a predictor, returns the measurements that go into metrics.csv.
    """

    def __init__(
        self,
        config: Config,
        folder: RunFolder,
        device: torch.device,
        evaluate: Callable[[Any], Mapping[str, float]],
        store: Store | None = None,
    ):
        train = config.train
        super().__init__(config.model, train.batch_size, config.seed, device, config.device.precision)
        self.config, self.folder = config, folder
        self._evaluate, self._store = evaluate, store
        self._augment = augmentation.of_training(train.augment, shown(config.model))
        self.fingerprint = folder.status.get("fingerprint")
        self.reports: dict[str, float] = {}
        self.shared_model: str | None = None
        """Where the shared source model came from, trained or taken; None where the method uses none."""
        self.rows: list[dict[str, Any]] = []
        self.watch = Stopwatch()
        self.images = 0
        self.steps = 0
        self._stop = False

    # Stages

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
        trained = nn.ModuleDict(modules)
        of_step = [Update(updates)] if callable(updates) else updates
        train = self.config.train
        finished = self._finished(stage)
        if finished is not None:
            storage.fill(trained, finished, self._stage_file(stage))
            trained.eval()
            return
        steps = train.steps if steps is None else steps
        optimiser = parameters.optimiser(train, trained, options or {})
        average = Average(trained, train.average) if train.average else None
        state = TrainingState(trained, optimiser, average)
        begun = step = self._resume(stage, state)
        evaluate_at = {round(steps * (i + 1) / train.evaluations) for i in range(train.evaluations)}
        parameters.set_training(trained)
        with closing(Progress(stage, steps, step)) as bar, self._stoppable(), self.watch.running():
            while step < steps:
                losses = self._step(stage, step, steps, optimiser, trained, of_step, batches)
                step += 1
                if average:
                    average.update(step)
                due = predictor is not None and step in evaluate_at
                logged = due or step % train.log_every == 0 or step == steps
                if logged:
                    row = self._row(stage, step, losses)
                    if due:
                        assert predictor is not None
                        with average.in_place() if average else nullcontext():
                            row |= self._measure(predictor)
                            if self._leads(row):
                                state.chosen.update({k: v.clone() for k, v in trained.state_dict().items()})
                        parameters.set_training(trained)
                    self.rows.append(row)
                    bar.update(step, row, self.images / self.watch.seconds)
                if (logged or step % train.checkpoint_every == 0) and orphaned():
                    self._stop = True
                if step < steps and (self._stop or step % train.checkpoint_every == 0):
                    self._checkpoint(stage, step, state)
                    if self._stop:
                        raise KeyboardInterrupt
        trained.eval()
        if step > begun:
            self._checkpoint(stage, step, state)
        if average:
            average.swap()
        if state.chosen:
            trained.load_state_dict(state.chosen)
        self.steps += step
        self._finish(stage, trained.state_dict())
        if self._stop:  # asked for in the last step, or while it was evaluated
            raise KeyboardInterrupt

    def _step(
        self,
        stage: str,
        step: int,
        steps: int,
        optimiser: torch.optim.Optimizer,
        modules: nn.ModuleDict,
        updates: Sequence[Update],
        batches: Draw,
    ) -> Losses:
        """One step of training, a function of (seed, stage, step) and the weights."""
        train, progress = self.config.train, step / steps
        for group in optimiser.param_groups:
            group["lr"] = group["factor"] * train.lr * rate(train.schedule, train.warm_up, step, steps)
        seed(self.device, self.config.seed, stage, step)
        batch = batches(stage, step)
        if self._augment:
            batch = batch.view("augment", self._augment)
        losses: Losses = {}
        for update in itertools.chain.from_iterable([one] * one.times for one in updates):
            with parameters.learning_alone(modules, update.of):
                with self.autocast():
                    losses |= (own := update.loss(batch, progress))
                update.gradients(own)
            if train.clip:
                torch.nn.utils.clip_grad_norm_(modules.parameters(), train.clip)
            optimiser.step()
            optimiser.zero_grad()
            if update.after:
                with torch.no_grad():
                    update.after(batch)
        self.images += len(batch)
        return losses

    def _row(self, stage: str, step: int, losses: Losses) -> dict[str, Any]:
        """A row of metrics.csv. Reading the losses waits for the device, so it is done at log points alone."""
        values = {name: value.item() for name, value in losses.items()}
        for name, value in values.items():
            if not math.isfinite(value):
                raise Diverged(f"loss {name} is {value} at step {step}; try a smaller train.lr")
        row = {"stage": stage, "kind": "step", "step": step, "seconds": round(self.watch.seconds, 3)}
        return row | {f"loss/{name}": value for name, value in values.items()}

    def train_shared(
        self,
        stage: str,
        modules: dict[str, nn.Module],
        loss: Loss,
        batches: Draw,
        data: Labelled,
        predictor: nn.Module | None = None,
    ) -> None:
        if predictor is not None and self.config.select != "last":  # what this run selects is no other's
            return self.train(stage, modules, loss, batches, predictor)
        trained = nn.ModuleDict(modules)
        train = {key: value for key, value in vars(self.config.train).items()
                 if key not in ("log_every", "checkpoint_every", "evaluations")}  # fmt: skip

        def work() -> dict[str, Tensor]:
            self.train(stage, modules, loss, batches, predictor)
            return trained.state_dict()

        ingredients = {**trained.state_dict(), "inputs": data.inputs, "labels": data.labels}
        # Not all of a model is in its tensors: how inputs are normalised, how many units are dropped.
        settings = {"train": train, "model": vars(self.config.model)}
        self._share(stage, work, ingredients, settings, take=predictor is None)

    def once_shared(
        self,
        stage: str,
        compute: Callable[[], dict[str, Tensor]],
        ingredients: Mapping[str, Tensor | Inputs],
        settings: Mapping[str, Any],
    ) -> dict[str, Tensor]:
        return self._share(stage, lambda: self.once(stage, compute), ingredients, settings)

    def _share(
        self,
        stage: str,
        work: Callable[[], dict[str, Tensor]],
        ingredients: Mapping[str, Tensor | Inputs],
        settings: Mapping[str, Any],
        take: bool = True,
    ) -> dict[str, Tensor]:
        """Do the stage's ``work``, which finds the stage finished where the store has its result."""
        if self._store is None:
            return work()
        settings = {
            **settings, "stage": stage, "seed": self.config.seed, "device": self.device.type,
            "precision": self.config.device.precision, "threads": torch.get_num_threads(),
        }  # fmt: skip
        if self.config.own_code:  # a loss of the user's own is told by its code and options alone
            settings["own"] = [self.config.own_code, self.config.names["method"], vars(self.config.method)]
        finished = self._stage_file(stage)
        with self._store.claim(content_key(ingredients, settings)) as entry:
            begun = self._own(finished, stage) or self._last(stage)
            stored = entry.read()
            self.shared_model = "trained"  # unless what the run itself has begun says otherwise
            if stored is not None and take and not begun:
                tensors, counters = stored
                storage.write(finished, tensors, self._texts(stage, 0, {**counters, "source_model": "taken"}))
                log.info("%s: taken from %s", stage, entry.path)
            tensors = work()
            if stored is None:
                kept = ("stage", "kind", "step", "seconds")
                rows = [{k: v for k, v in row.items() if k in kept or k.startswith("loss/")} for row in self.rows]
                entry.write(tensors, {**self._counters(), "rows": rows})
        return tensors

    def once(self, stage: str, compute: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        finished = self._finished(stage)
        if finished is not None:
            return {name: tensor.to(self.device) for name, tensor in finished.items()}
        with self.seeded(stage), self.watch.running():
            # Laid out as they will be read, so that what follows comes out to the same bits.
            tensors = {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in compute().items()}
        self._finish(stage, tensors)
        return tensors

    def candidate(self, name: str, predictor: nn.Module) -> None:
        self._measure_once(name, "candidate", predictor)

    def choose(self, names: Sequence[str]) -> str:
        by = "source_accuracy" if self.config.select == "last" else self.config.select
        measured = [row for row in self.rows if row["kind"] == "candidate" and row["stage"] in names]
        best = best_row(measured, f"validator/{by}")
        return str(best["stage"]) if best else names[-1]

    def _leads(self, row: Mapping[str, Any]) -> bool:
        """Whether ``select`` would choose the row, of a step, over all earlier ones of its stage."""
        if self.config.select == "last":
            return False
        of_stage = [other for other in self.rows if (other["kind"], other["stage"]) == ("step", row["stage"])]
        return best_row([*of_stage, row], f"validator/{self.config.select}") is row

    def source_model(self, predictor: nn.Module) -> None:
        self._measure_once("source model", "source model", predictor)

    def _measure_once(self, name: str, kind: str, predictor: nn.Module) -> None:
        """A row of metrics.csv for a predictor as it is, unless there is one already."""
        if any((row["stage"], row["kind"]) == (name, kind) for row in self.rows):
            return
        row = {"stage": name, "kind": kind, "step": self.steps, "seconds": round(self.watch.seconds, 3)}
        self.rows.append(row | self._measure(predictor))

    def report(self, values: Mapping[str, float]) -> None:
        self.reports.update(values)

    # Durability

    def _stage_file(self, stage: str) -> Path:
        return self.folder.path / "checkpoints" / f"stage-{stage}.safetensors"

    def _counters(self) -> dict[str, Any]:
        """All that a run is except for its tensors: what is written with them, and taken up again with them."""
        return {
            "steps": self.steps, "seconds": self.watch.seconds, "images": self.images, "rows": self.rows,
            "source_model": self.shared_model,
        }  # fmt: skip

    def _texts(self, stage: str, step: int, counters: Mapping[str, Any]) -> dict[str, str]:
        """What a checkpoint says of itself: whose it is, of which stage, after how many of its steps."""
        return {"run": json.dumps({"fingerprint": self.fingerprint, "stage": stage, "step": step, **counters})}

    def _own(self, path: Path, stage: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """The tensors and the state that this run has left for ``stage`` at ``path``.

        None, and a line in the log, where the file is damaged or has been put there from elsewhere.
        """
        if not path.exists():
            return None
        try:
            tensors, texts = storage.read(path)
        except UserError as damaged:
            log.warning("%s; going on without it", damaged)
            return None
        state = json.loads(texts.get("run", "{}"))
        if (state.get("fingerprint"), state.get("stage")) == (self.fingerprint, stage):
            return tensors, {**state, "optimiser": json.loads(texts.get("optimiser", "{}"))}
        if path == self._stage_file(stage) or state.get("fingerprint") != self.fingerprint:
            log.warning("%s: of another run or stage; going on without it", path)
        return None

    def _take_up(self, state: Mapping[str, Any]) -> None:
        self.rows, self.steps, self.shared_model = state["rows"], state["steps"], state["source_model"]
        self.watch.seconds, self.images = state["seconds"], state["images"]

    def _finished(self, stage: str) -> dict[str, Tensor] | None:
        """What the stage ended with, where it has; the run then is as it was at that time."""
        found = self._own(self._stage_file(stage), stage)
        if found is None:
            return None
        self._take_up(found[1])
        return found[0]

    def _checkpoint(self, stage: str, step: int, state: TrainingState) -> None:
        tensors, scalars = checkpoint.pack(state)
        last = self.folder.path / "checkpoints" / "last.safetensors"
        if last.exists():
            last.replace(last.with_name("previous.safetensors"))
        storage.write(last, tensors, {**self._texts(stage, step, self._counters()), "optimiser": json.dumps(scalars)})
        self.folder.write_metrics(self.rows)
        self.folder.set_status("running", stage=stage, step=step)

    def _last(self, stage: str) -> tuple[Path, dict[str, Tensor], dict[str, Any]] | None:
        """This stage's last whole checkpoint, if there is one."""
        for name in ("last", "previous"):
            path = self.folder.path / "checkpoints" / f"{name}.safetensors"
            found = self._own(path, stage)
            if found is not None:
                return path, *found
        return None

    def _resume(self, stage: str, state: TrainingState) -> int:
        """Load this stage's last whole checkpoint, if there is one; the step to go on from."""
        found = self._last(stage)
        if found is None:
            return 0
        path, tensors, left = found
        checkpoint.unpack(tensors, left["optimiser"], state, path)
        self._take_up(left)
        log.info("%s: continuing at step %d", stage, left["step"])
        return int(left["step"])

    def _finish(self, stage: str, tensors: Mapping[str, Tensor]) -> None:
        storage.write(self._stage_file(stage), tensors, self._texts(stage, 0, self._counters()))
        self.folder.write_metrics(self.rows)

    # Measuring and stopping

    def _measure(self, predictor: nn.Module) -> dict[str, float]:
        was_training = predictor.training
        with self.seeded("evaluation"), self.watch.paused():
            values = dict(self._evaluate(predictor.eval()))
        predictor.train(was_training)
        return values

    @contextmanager
    def _stoppable(self) -> Iterator[None]:
        """Inside, SIGINT and SIGTERM ask for a checkpoint and a stop; a second one stops at once."""

        def ask(number: int, frame: Any) -> None:
            if self._stop:
                raise KeyboardInterrupt
            self._stop = True

        try:
            before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
        except ValueError:  # not in the main thread, which alone gets signals
            before = {}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
