"""The loop that every training shares: its steps, its state on disk, its reports."""

from __future__ import annotations

import copy
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from icmhcodec.errors import FormatError, UsageError
from icmhcodec.training import photos, processes
from icmhcodec.training.recipe import Recipe

STATE = "state.pt"
REPORT_SECONDS = 10.0
SAVE_SECONDS = 120.0
VALIDATION_SECONDS = 120.0
VALIDATION_SHARE = 0.03  # of the time, at most
VALIDATION_CROPS = 16


@dataclass(frozen=True)
class Point:
    """Bits per pixel and PSNR at a quality, means over pictures; or what a run has for PSNR."""

    quality: float
    bpp: float
    psnr: float


@dataclass(frozen=True)
class Validation:
    """How the averaged weights do on what is not trained on."""

    loss: float
    curve: tuple[Point, ...] = ()


@dataclass(frozen=True)
class Progress:
    """What a run reports: share done, steps, time, and means since the last report."""

    done: float
    steps: int
    seconds: float
    seconds_left: float | None  # not known before the first steps of a schedule of steps
    steps_per_second: float
    means: Mapping[str, float]
    validation: Validation | None = None


class Batches(Protocol):
    """What a run is fed with: `Crops`, or what gives uint8 [n,S,S,3] for each step as they do."""

    def from_step(self, step: int, workers: int) -> Iterator[Tensor]:
        """The batches of that step and all after it, made by so many processes."""

    def held_out(self, most: int) -> Tensor:
        """Up to `most` samples for validation."""


class Run(ABC):
    """A training and all of its state. Its random numbers follow from the seed and the step."""

    kind: ClassVar[str]
    decibels: ClassVar[str] = "PSNR"  # what points are in

    def __init__(self, recipe: Recipe, trained: nn.Module, device: torch.device) -> None:
        """Take the parts that are trained; their average starts as they do."""
        self.recipe = recipe
        self.device = device
        channels_last: Any = {"memory_format": torch.channels_last}  # torch's types forget it
        self.trained = trained.to(device, **channels_last)
        self.average = copy.deepcopy(self.trained).requires_grad_(False)
        self.optimizers: list[torch.optim.Optimizer] = []  # groups hold their peak rate as "peak"
        self.clipped: list[nn.Parameter] = []  # whose gradients' norm is limited to 1
        self.about: dict[str, str] = {}  # of the data; kept with the state
        self.steps, self.seconds, self.done = 0, 0.0, 0.0

    @abstractmethod
    def terms(self, crops: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of crops [B,3,S,S] in [0,1], and means to report."""

    @abstractmethod
    def validate(self, crops: Tensor) -> Validation:
        """The averaged weights on held-out crops, uint8 [n,S,S,3], without noise."""

    def identity(self) -> dict[str, str]:
        """What a state must agree on to be gone on from."""
        return {"kind": self.kind}

    def phase(self) -> Hashable:
        """Changes where steps become others, whose first may be slow."""
        return None

    def settle(self) -> None:  # noqa: B027 (most runs have nothing to do)
        """What follows an update."""

    def step(self, crops: Tensor) -> dict[str, float]:
        """One update from uint8 crops [B,S,S,3]; the means to report."""
        factor = self.recipe.rate(self.done)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * factor
            optimizer.zero_grad(set_to_none=True)
        # One number decides all draws of a step, so that none depends on those before it.
        torch.manual_seed((self.recipe.seed << 40) + self.steps)
        loss, terms = self.terms(photos.to_input(crops, self.device))
        loss.backward()  # type: ignore[no-untyped-call]
        gradients = [p.grad for p in self.trained.parameters() if p.grad is not None]
        norms = torch._foreach_norm(gradients)
        if torch.isfinite(torch.stack(norms)).all():
            nn.utils.clip_grad_norm_(self.clipped, 1.0)
            for optimizer in self.optimizers:
                optimizer.step()
        self.settle()
        self.steps += 1
        self._update_average()
        values = torch.stack([loss.detach(), *(term.detach().mean() for term in terms.values())])
        return dict(zip(("loss", *terms), values.tolist(), strict=True))

    @torch.no_grad()
    def _update_average(self) -> None:
        share = 1 - min(self.recipe.average, self.steps / (9 + self.steps))
        own, new = (
            [value for value in module.state_dict().values() if value.is_floating_point()]
            for module in (self.average, self.trained)
        )
        torch._foreach_lerp_(own, new, share)

    def tick(self, seconds: float) -> None:
        """Count time to the schedule."""
        self.seconds += seconds
        recipe = self.recipe
        share = self.steps / recipe.steps if recipe.steps else self.seconds / (60 * recipe.minutes)
        self.done = min(1.0, share)

    def save(self, path: Path) -> None:
        """Write the whole state, atomically."""
        state = {
            **self.identity(),
            "recipe": asdict(self.recipe),
            "about": self.about,
            "trained": self.trained.state_dict(),
            "average": self.average.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "steps": self.steps,
            "seconds": self.seconds,
            "done": self.done,
        }
        temporary = path.with_name(path.name + ".part")
        torch.save(state, temporary)
        temporary.replace(path)

    def load(self, path: Path) -> None:
        """Go on from a saved state; UsageError if it is of another run."""
        state = read_state(path, self.device)
        for key, value in self.identity().items():
            if state.get(key) != value:
                raise UsageError(f"{path}: of another {key}, {state.get(key)}; start a new folder")
        self.trained.load_state_dict(state["trained"])
        self.average.load_state_dict(state["average"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.steps, self.seconds, self.done = state["steps"], state["seconds"], state["done"]
        self.about = state["about"]
        self.tick(0)  # the schedule may have become longer


def begin_with(run: Run, given: Mapping[str, Tensor], name: object) -> int:
    """Give a new run weights, say of another's average, where name and shape agree.

    How many of its tensors those are; UsageError, which names them, where none is.
    """
    own = run.trained.state_dict()
    common = {k: v for k, v in given.items() if k in own and own[k].shape == v.shape}
    if not common:
        raise UsageError(f"{name}: none of its weights fit what is to be trained")
    for module in (run.trained, run.average):
        module.load_state_dict({**own, **common})
    return len(common)


def read_state(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """A saved state; UsageError where there is none, FormatError for another file."""
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError:
        raise UsageError(f"{path}: no state of a training here") from None
    except Exception as error:  # torch raises whatever its parts do
        raise FormatError(f"{path}: not a readable state of a training") from error
    if not isinstance(state, dict) or "average" not in state or "kind" not in state:
        raise FormatError(f"{path}: not a state of a training")
    return state


def compiled(function: Callable[..., Any], device: torch.device) -> tuple[Callable[..., Any], str]:
    """The function compiled and "", or as it is and why: tried first on a small one."""
    try:
        torch.compile(lambda x: x * 2 + 1)(torch.ones(64, device=device))
    except Exception as error:  # whatever its compilers raise
        return function, f"{type(error).__name__}: {str(error).strip().splitlines()[0][:100]}"
    return torch.compile(function), ""


def train(
    run: Run,
    crops: Batches,
    folder: Path,
    report: Callable[[Progress], None] = lambda progress: None,
    stopped: Callable[[], bool] = lambda: False,
    validate: Callable[[], Validation] | None = None,
) -> None:
    """Train until the schedule ends or `stopped` says so; the state is kept in the folder.

    `report` is called about every ten seconds, and where a validation is done: at the start, then
    as often as takes little of the time, and at the end. `validate` replaces the run's own.
    """
    clerk: _Clerk | None = None
    if processes.rank() == 0:
        if validate is None:
            held_out = crops.held_out(VALIDATION_CROPS)
            validate = lambda: run.validate(held_out)  # noqa: E731
        clerk = _Clerk(run, folder / STATE, report, validate)
    batches = crops.from_step(run.steps, run.recipe.workers)
    last, phase, stop = time.monotonic(), object(), False
    while run.done < 1 and not stop:
        before, phase = phase, run.phase()
        means = run.step(next(batches))
        now = time.monotonic()
        # Where steps change they are compiled first, which the schedule does not pay for.
        seconds = now - last if phase == before else 0.0
        last = now
        shared = [seconds if clerk else 0.0, float(stopped()), *means.values()]
        seconds, stops, *sums = processes.total(shared, run.device)
        run.tick(seconds)
        stop = stops > 0
        if clerk:
            count = processes.count()
            clerk.note({name: s / count for name, s in zip(means, sums, strict=True)})
    if clerk:
        clerk.close()
    processes.wait()


class _Clerk:
    """Reports, validates and saves when it is time to."""

    def __init__(
        self,
        run: Run,
        state: Path,
        report: Callable[[Progress], None],
        validate: Callable[[], Validation],
    ) -> None:
        self.run, self.state, self.report, self.validate = run, state, report, validate
        self.rows: list[dict[str, float]] = []
        self.shown = self.saved = time.monotonic()
        self.shown_steps, self.shown_seconds = run.steps, run.seconds
        self.next_validation = run.seconds + VALIDATION_SECONDS
        if run.steps == 0:
            self._show(self._validation())

    def note(self, means: dict[str, float]) -> None:
        """Take a step's means, and do what is due."""
        self.rows.append(means)
        now = time.monotonic()
        if now - self.saved > SAVE_SECONDS:
            self.run.save(self.state)
            self.saved = now
        if self.run.done < 1 and self.run.seconds >= self.next_validation:
            self._show(self._validation())
        elif now - self.shown > REPORT_SECONDS:
            self._show()

    def close(self) -> None:
        """Save, and report the end with a validation if the schedule has ended."""
        self.run.save(self.state)
        self._show(self._validation() if self.run.done >= 1 else None)

    def _validation(self) -> Validation:
        start = time.monotonic()
        result = self.validate()
        pause = (time.monotonic() - start) / VALIDATION_SHARE
        self.next_validation = self.run.seconds + max(VALIDATION_SECONDS, pause)
        return result

    def _show(self, validation: Validation | None = None) -> None:
        run, rows = self.run, self.rows
        steps, seconds = run.steps - self.shown_steps, run.seconds - self.shown_seconds
        speed = steps / seconds if seconds else 0.0
        left: float | None = (1 - run.done) * 60 * run.recipe.minutes
        if run.recipe.steps:
            left = (1 - run.done) * run.seconds / run.done if run.seconds else None
        means = (
            {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]} if rows else {}
        )
        progress = Progress(run.done, run.steps, run.seconds, left, speed, means, validation)
        self.report(progress)
        self.rows, self.shown = [], time.monotonic()
        self.shown_steps, self.shown_seconds = run.steps, run.seconds
