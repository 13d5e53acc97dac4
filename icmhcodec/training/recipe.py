"""What a run is told, from a TOML file: schedule, batches, optimiser, augmentation."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from icmhcodec.errors import UsageError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MULTIPLE = 64  # sides of pictures are multiples of the hyper-latent's stride
FOLDER = Path(__file__).parent / "recipes"


def described(values: Mapping[str, object]) -> str:
    """A recipe's values in a line, as they stand in a file's metadata."""

    def text(value: object) -> str:
        return "/".join(map(str, value)) if isinstance(value, list | tuple) else str(value)

    return ", ".join(f"{key} {text(value)}" for key, value in values.items())


@dataclass(frozen=True)
class Recipe:
    """What holds for every kind of run; shares are of the whole schedule.

    The rate rises over `warmup`, and falls linearly to zero over the last `decay` of the schedule,
    which counts `steps` where they are given, and else minutes on the clock.
    """

    minutes: float = 60.0
    steps: int = 0
    warmup: float = 0.02
    decay: float = 0.98
    batch: int = 8  # crops of a step, over all processes
    crop: int = 256
    scales: tuple[float, ...] = (1.0,)  # at which photos are shown, each weighed by its factor
    mirror: bool = True  # left and right
    turn: bool = True  # upside down, and rows for columns: not where up and down matter
    workers: int = 1  # processes that cut crops; none: the training process does
    average: float = 0.999  # decay of the exponential average of the weights
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise UsageError for values out of their range."""
        _require(self.minutes > 0 and self.steps >= 0, "minutes and steps are positive")
        _require(0 <= self.warmup < 1 and 0 < self.decay <= 1, "warmup and decay are shares")
        _require(self.batch > 0 and self.workers >= 0, "batch and workers are counts")
        _require(self.crop > 0 and self.crop % MULTIPLE == 0, f"crop is a multiple of {MULTIPLE}")
        _require(bool(self.scales) and all(0 < s <= 1 for s in self.scales), "scales lie in 0 to 1")
        _require(0 <= self.average < 1, "average is a decay under 1")

    def rate(self, done: float) -> float:
        """Factor of the peak rates after a share of the schedule."""
        rise = (done + 1e-3) / max(self.warmup, 1e-3)
        return min(1.0, rise, (1 - done) / self.decay)


@dataclass(frozen=True)
class BaseRecipe(Recipe):
    """How a base codec is trained; the defaults are the recipe `cpu`."""

    crop: int = 192
    scales: tuple[float, ...] = (1.0, 0.7, 0.5)
    # of hyper-latent and latent; then of the layers inside of h_s, where not as of the latent
    channels: tuple[int, ...] = (128, 192)
    optimiser: str = "soap"  # of the convolutions' kernels: muon, soap or adam
    kernel_rate: float = 4.5e-4
    table_rate: float = 2e-4  # Adam's, of biases and gains
    coupling_rate: float = 2e-4  # Adam's, of what GDN's channels make of each other, square roots
    coupling: float = 0.0  # least of them at the start: weights without any cannot learn them
    prior_rate: float = 1e-3  # Adam's, of the factorised prior
    lambdas: tuple[float, ...] = (0.0009, 0.18)  # of the lowest and the highest quality
    weight_power: float = 0.5  # a sample's loss weighs lambda^-weight_power
    skip: int = 0  # skip index that is simulated; 0 = off
    bfloat16: bool = True
    float32_share: float = 0.0  # of the schedule, at its end, in float32
    compile: bool = True

    def __post_init__(self) -> None:
        """Raise UsageError for values out of their range."""
        from icmhcodec.training.optimisers import KERNEL_OPTIMISERS

        super().__post_init__()
        known = ", ".join(KERNEL_OPTIMISERS)
        _require(self.optimiser in KERNEL_OPTIMISERS, f"optimiser is one of {known}")
        fits = len(self.channels) in (2, 4) and min(self.channels) > 0
        _require(fits, "channels are two counts, or four")
        low, high = self.lambdas if len(self.lambdas) == 2 else (1, 0)
        _require(0 < low < high, "lambdas are the lowest and the highest")
        _require(0 <= self.skip < 64, "skip is an index of 0 to 63")
        _require(0 <= self.float32_share <= 1, "float32_share is a share")


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise UsageError(f"recipe: {message}")


R = TypeVar("R", bound=Recipe)


def names(folder: Path = FOLDER) -> list[str]:
    """The recipes in a folder, by default the package's for base codecs."""
    return sorted(path.stem for path in folder.glob("*.toml"))


def load(name: str) -> BaseRecipe:
    """A base codec's recipe of the package by name, or of a TOML file; UsageError for a bad one."""
    return load_as(BaseRecipe, name, FOLDER)


def load_as(kind: type[R], name: str, folder: Path) -> R:
    """A recipe of a kind, of a folder by name or of a TOML file; UsageError for a bad one."""
    path = Path(name) if name.endswith(".toml") else folder / f"{name}.toml"
    if path.parent == folder and path.stem not in names(folder):
        known = ", ".join(names(folder))
        raise UsageError(f"recipe {name}: the package has {known}; or name a .toml")
    try:
        return parse(kind, tomllib.loads(path.read_text()))
    except FileNotFoundError:
        raise UsageError(f"{path}: no such recipe") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not TOML ({error})") from error
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error


def parse(kind: type[R], values: Mapping[str, Any]) -> R:
    """A recipe of named values; UsageError for an unknown name or a value of another type."""
    known = {field.name: field.default for field in fields(kind)}
    given: dict[str, Any] = {}
    for name, value in values.items():
        if name not in known:
            raise UsageError(f"recipe: no such key {name}; known are {', '.join(known)}")
        default = known[name]
        if isinstance(default, float) and type(value) is int:
            value = float(value)
        if isinstance(default, tuple) and isinstance(value, list | tuple):
            value = tuple(type(default[0])(v) for v in value if isinstance(v, int | float))
            complete = len(value) == len(values[name])
        else:
            complete = type(value) is type(default)
        if not complete:
            raise UsageError(f"recipe: {name} is not like {default!r}")
        given[name] = value
    return kind(**given)
