"""Sequences in `info`, `split`, `join` and `verify`: streamed, without torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from enum import IntEnum
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from icmhcodec.cli import files, tables
from icmhcodec.cli.report import detail
from icmhcodec.errors import FormatError, UsageError

if TYPE_CHECKING:
    from icmhcodec.container.video import Inspection

COLUMNS = ("part", ">bytes", ">kbit/s", ">share")  # and the shares of latents
MAKERS = ("part", "made with")
_BEGINNING = 14  # bytes: signature, version, type of the first chunk


def is_sequence(source: Path) -> bool:
    """Whether a file or stdin begins as a sequence does."""
    from icmhcodec.container import video

    return video.is_sequence(files.beginning(source, _BEGINNING))


def split(
    source: Path, tasks: Sequence[str], output: Path, rest: Path | None, *, force: bool
) -> None:
    """Cut the layers of tasks off while the sequence streams."""
    from icmhcodec.container.video import split_stream

    with ExitStack() as stack:
        stream = stack.enter_context(files.reading(source))
        targets = [
            stack.enter_context(files.writing(target, force=force)) if target else None
            for target in (output, rest)
        ]
        split_stream(stream, tasks, *targets)


def join(parts: Sequence[Path], output: Path, *, force: bool) -> None:
    """Merge parts while they stream."""
    from icmhcodec.container.video import join_streams

    with ExitStack() as stack:
        streams = [stack.enter_context(files.reading(part)) for part in parts]
        join_streams(streams, stack.enter_context(files.writing(output, force=force)))
    detail(f"{files.name(output, 'stdout')}: {len(parts)} parts joined")


def verify(source: Path, *, as_json: bool, full: Callable[[BinaryIO], list[str]] | None) -> None:
    """Check structure and checksums, and with `full` all symbols; FormatError names the damage."""
    if full is not None and files.is_stream(source):
        raise UsageError("--full reads a clip twice; name a file, not stdin")
    found = _inspected(source)
    damage, missing = list(found.damage), found.missing
    if full is not None:
        with files.reading(source) as stream:
            damage += [said for said in full(stream) if said not in damage]
    if as_json:
        tables.print_json({"file": str(source), "damage": damage, "missing": missing})
    elif not damage:
        without = f", without {', '.join(missing)}" if missing else ""
        click.echo(f"{files.name(source)}: intact{without}")
    if damage:
        raise FormatError("; ".join(damage))


def info(source: Path, *, as_json: bool) -> None:
    """Show what is in a sequence and what each part of it costs."""
    found = _inspected(source)
    if as_json:
        tables.print_json({"file": str(source), **_described(found)})
    else:
        _print(files.name(source), found)
    if found.damage:
        raise FormatError("; ".join(found.damage))


def _inspected(source: Path) -> Inspection:
    from icmhcodec.container.video import inspect

    with files.reading(source) as stream:
        return inspect(stream, partial=True)


def _seconds(found: Inspection) -> float:
    """How long it is, as far as its index, its rate or its step says."""
    header = found.header
    if found.index:
        return float((found.index.end - found.index.entries[0].time) * header.time_base)
    step = 1 / header.rate if header.rate else header.step * header.time_base
    return float(found.frames * step)


def _described(found: Inspection) -> dict[str, Any]:
    header = found.header
    plain = {key: _plain(value) for key, value in asdict(header).items()}
    for latent in plain["latents"]:
        latent["quality"] /= 256
    return {
        **plain,
        "bytes": found.size,
        "bpp": _bpp(found),
        "seconds": _seconds(found),
        "frames": found.frames,
        "groups": found.groups,
        "packets": found.packets,
        "held": found.layers,
        "parts": dict(found.bytes),
        "overhead": found.overhead,
        "complete": found.complete,
        "missing": found.missing,
        "damage": found.damage,
    }


def _bpp(found: Inspection) -> float:
    """Bits for a pixel, of all but the sound."""
    pixels = max(1, found.frames * found.header.width * found.header.height)
    return 8 * (found.size - found.bytes["audio"]) / pixels


def _plain(value: Any) -> Any:
    """A value of the header as JSON has it."""
    if isinstance(value, IntEnum):
        return value.name.lower()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Fraction):
        return f"{value.numerator}/{value.denominator}"
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value


def _print(name: str, found: Inspection) -> None:
    from icmhcodec.container.video import LATENTS

    header, seconds = found.header, _seconds(found)
    rate = f" at {float(header.rate):.4g} fps" if header.rate else ""
    click.echo(f"{name}: {header.width}x{header.height}, {found.frames} frames{rate}")
    click.echo(
        f"{seconds:.2f} s in {found.groups} groups, {found.size:,} bytes, "
        f"{_bpp(found):.4f} bpp without sound"
    )
    where = "" if found.packets else ", not in this part"
    for stream in header.audio:
        click.echo(f"sound: {stream.codec} {stream.layout}, {stream.rate} Hz{where}")
    names = LATENTS[: len(header.latents)]
    tables.print_table((*COLUMNS, *(f">{name}" for name in names)), _costs(found, names, seconds))
    click.echo()
    tables.print_table(MAKERS, _makers(found, names))
    if found.missing:
        click.echo(f"not in this part: {', '.join(found.missing)}")


def _costs(found: Inspection, names: Sequence[str], seconds: float) -> list[list[str]]:
    """A row for hyper-latents, each layer and all else; they add up to the file."""
    rows = []
    for part in ("hyper", *(layer.task for layer in found.header.layers)):
        held = [found.bytes[f"{part} {name}"] for name in names]
        shares = [f"{size / found.size:.1%}" for size in held]
        rows.append([*_cost(found, part, sum(held), seconds), *shares])
    others = {part: found.bytes[part] for part in ("audio", "metadata")}
    for part, size in [*others.items(), ("header, frames of chunks", found.overhead)]:
        if size:
            rows.append([*_cost(found, part, size, seconds), *[""] * len(names)])
    return rows


def _cost(found: Inspection, part: str, size: int, seconds: float) -> list[str]:
    rate = f"{size * 8 / 1000 / seconds:.1f}" if seconds else ""
    return [part, f"{size:,}", rate, f"{size / found.size:.1%}"]


def _makers(found: Inspection, names: Sequence[str]) -> list[list[str]]:
    """What each latent and each layer of one was made with."""
    from icmhcodec.container import MaskKind

    header, rows = found.header, []
    for index, (name, latent) in enumerate(zip(names, header.latents, strict=True)):
        codec = header.inter if index and header.inter else header.intra
        made = f"{codec.id}, quality {latent.quality / 256:.4g}, skip {latent.skip}"
        rows.append([name, made])
    for layer in header.layers:
        for name, choice in zip(names, layer.choices, strict=True):
            if choice.mask is MaskKind.FULL:
                continue
            level = f":{choice.level}" if choice.level else ""
            bundles = {"predictor": choice.predictor, "adapter": choice.adapter}
            named = [f", {kind} {bundle.id}" for kind, bundle in bundles.items() if bundle]
            made = f"{choice.mask.name.lower()} mask{''.join(named)}"
            rows.append([f"{layer.task}{level} {name}", made])
    return rows
