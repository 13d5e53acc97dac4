"""What tables are made of: rows, numbers, machines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

Results = dict[str, Any]


def markdown(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table, its first column to the left and all others to the right."""
    lines = [titles, ["---", *["---:"] * (len(titles) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def number(value: float | None, digits: int = 2, sign: str = "") -> str:
    """A rounded number, a dash for none."""
    return "-" if value is None else f"{value:{sign}.{digits}f}"


def percent(share: float | None, digits: int = 1) -> str:
    """A share of one, in percent."""
    return "-" if share is None else f"{100 * share:.{digits}f} %"


def rate(value: float | None) -> str:
    """A BD-rate, in percent."""
    return "-" if value is None else f"{value:+.1f} %"


def codec_of(results: Results) -> str:
    """Id of the base codec that results are of."""
    return f"`{results['settings']['codec'].split()[0]}`"


def machine_of(results: Results) -> str:
    """Processor, cores and what they have for bfloat16."""
    machine = results["machine"]
    features = ", ".join(f for f in machine["features"] if "bf16" in f or "amx" in f)
    gpu = f" and {machine['gpu']}" if machine["gpu"] else ""
    return f"{machine['cpu']}, {machine['cores']} cores ({features or 'no bfloat16'}){gpu}"
