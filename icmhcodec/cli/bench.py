"""`icmh bench`: rate against accuracy and quality over a data set, beside other codecs."""

from __future__ import annotations

import json
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from icmhcodec.cli import batch, files, options
from icmhcodec.cli.files import STREAM
from icmhcodec.cli.report import Settings, complain, describe
from icmhcodec.errors import UsageError

if TYPE_CHECKING:
    from icmhcodec.bench.cache import Cache
    from icmhcodec.bench.contract import Clips, ComparedCodec, Dataset, Observation
    from icmhcodec.bench.engine import Bench, Spread
    from icmhcodec.bench.report.examples import Example
    from icmhcodec.tasks.contract import RecognitionNetwork

PIPE_WIDTH = 160  # of tables where there is no terminal to fit into
REPORTS = ("json", "csv", "plot", "html")  # first those that little can go wrong with
DRAWN = ("plot", "html")
Points = dict[str, tuple[float, ...]]


def parse_codecs(
    ctx: click.Context, param: click.Parameter, value: str | None
) -> tuple[str, ...] | None:
    """Split `icmh,jpeg,avif@416` at commas."""
    if value is None:
        return None
    specs = tuple(spec.strip() for spec in value.split(","))
    if not all(specs):
        raise click.BadParameter(f"{value!r}: write icmh,jpeg,avif@416", ctx, param)
    return specs


def parse_points(ctx: click.Context, param: click.Parameter, value: str | None) -> Points:
    """Read `icmh=0,3,6;jpeg=10,30`: the settings of codecs, by name."""
    points: Points = {}
    for part in value.split(";") if value else ():
        name, _, numbers = part.rpartition("=")
        try:
            found = tuple(float(number) for number in numbers.split(","))
        except ValueError:
            found = ()
        if not name.strip() or not found:
            message = f"{part!r} gives no points; write icmh=0,3,6;jpeg=10,30"
            raise click.BadParameter(message, ctx, param)
        points[name.strip()] = tuple(dict.fromkeys(found))
    return points


def report_file(name: str, help_text: str) -> Callable[[options.F], options.F]:
    """Add an option that names a file to write."""
    return click.option(name, metavar="FILE", type=options.PATH, help=help_text)


@click.command(short_help="Compare codecs over a data set.")
@click.argument("folder", type=options.PATH)
@click.option(
    "--codecs",
    "specs",
    metavar="NAME,...",
    callback=parse_codecs,
    help="icmh, icmh:machine, jpeg, avif@416 (shrunk), ...; default: all that are here and, with a "
    "network, icmh@net, jpeg@net, avif@net and simulcast:icmh@net+icmh. Of clips: x264, x265, "
    "both with :zerolatency, svt-av1, all-intra, icmh, icmh:fvc.",
)
@click.option("--task", metavar="NAME", help="cls, det or seg: measure its default network, too.")
@click.option("--network", metavar="NAME", help="Another network, or a .toml that describes one.")
@click.option(
    "--profile",
    type=click.Choice(["scalable", "machine"]),
    help="Of icmh's files with task layers only these; default: both.",
)
@click.option(
    "--points",
    metavar="LIST",
    callback=parse_points,
    help="Settings of codecs: icmh=0,3,6;jpeg=10,30.",
)
@click.option(
    "--limit", type=click.IntRange(min=1), help="Only so many pictures or clips, drawn at random."
)
@click.option("--frames", type=click.IntRange(min=1), help="Only the first so many of each clip.")
@click.option(
    "--gop",
    type=click.IntRange(min=1),
    help="Of clips an I frame every so many, with all codecs; default: 12.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of all that is drawn.")
@click.option(
    "--anchor", "anchors", metavar="CODEC", multiple=True, help="What the others are compared with."
)
@click.option(
    "--resamples",
    type=click.IntRange(min=0),
    default=200,
    show_default=True,
    help="Bootstrap sets for the 95 % intervals; 0: no intervals.",
)
@report_file("--json", "Write the whole report as JSON, - for stdout.")
@report_file("--csv", "Write the points as a table.")
@report_file("--html", "Write a page with curves, tables and examples.")
@report_file("--plot", "Draw the curves, .png or .svg.")
@click.option("--ray", metavar="ADDRESS", help="Work on a Ray cluster: HOST:PORT, auto or local.")
@click.option(
    "--cache",
    "cache_folder",
    type=options.PATH,
    help="Where results are kept; default: in the user's cache.",
)
@click.option("--no-cache", is_flag=True, help="Measure everything anew, and keep nothing.")
@click.option("--device", default="cpu", show_default=True, help="Where networks run, icmh's too.")
@click.option(
    "--threads", type=click.IntRange(min=1), help="CPU threads of a process; default: its share."
)
@options.jobs
@options.force
@options.common
@click.pass_context
def command(
    ctx: click.Context,
    /,
    folder: Path,
    specs: tuple[str, ...] | None,
    task: str | None,
    network: str | None,
    profile: str | None,
    points: Points,
    limit: int | None,
    frames: int | None,
    gop: int | None,
    seed: int,
    anchors: tuple[str, ...],
    resamples: int,
    ray: str | None,
    cache_folder: Path | None,
    no_cache: bool,
    device: str,
    threads: int | None,
    jobs: int,
    force: bool,
    **targets: Path | None,
) -> int:
    """Compare codecs over a folder of pictures or clips: bits, quality, accuracy, and time.

    FOLDER is a folder of pictures, a data set in the layout of ImageNet, COCO or Pascal VOC, a
    folder of clips, or one in the layout of DAVIS or UCF101. All numbers are those of real files.
    Results are kept: an interrupted run goes on where it was, and times are those of the first
    measurement; compare them only between runs of the same --jobs.

    \b
    icmh bench photos/ --codecs icmh,jpeg,avif --html report.html
    icmh bench coco/ --task det --codecs icmh,avif,avif@net --json report.json
    icmh bench clips/ --frames 32 --codecs x265,all-intra,icmh --html report.html
    """
    files.check_folder(folder)
    wanted = {kind: target for kind in REPORTS if (target := targets[kind]) is not None}
    _check_targets(wanted, force)
    if no_cache and cache_folder is not None:
        raise UsageError("--cache and --no-cache exclude each other; give one")

    from icmhcodec.bench import datasets, engine
    from icmhcodec.bench.summary import summarise

    if network is not None and Path(network).is_file():
        network = str(Path(network).resolve())  # a worker may be elsewhere
    prepare = partial(
        engine.prepare,
        network=network or task,
        profile=profile,
        device=device,
        threads=threads,
        clips=_clips(folder, frames, gop),
    )
    bench = prepare(specs)
    points = _with_sides(points, bench)
    _check_choices(bench, task, points, anchors)
    _check_packages(bench, wanted)
    seen = bench.network.task if bench.network else None
    dataset = datasets.recognise(folder.resolve(), limit=limit, seed=seed, task=seen)
    for notice in dataset.notices:
        complain(notice)
    start = partial(engine.start, partial(prepare, bench.specs), bench.identity())
    spread = _spread(start, ray, jobs, threads, device)
    totals = dict(Counter(name for name, _ in engine.steps(bench, points)))
    bars = {name: count * len(dataset.samples) for name, count in totals.items()}
    with _cache(cache_folder, no_cache) as cache:
        with batch.bars(bars) as done:
            observations, failures = engine.run(
                bench, dataset.samples, points=points, cache=cache, spread=spread, progress=done
            )
        for failure in failures:
            complain(": ".join(filter(None, (failure.sample, failure.codec, failure.message))))
        with batch.bars({"intervals": 1}) as done:
            report = summarise(
                observations,
                dataset=dataset,
                network=bench.network,
                command=ctx.meta[options.COMMAND_LINE],
                failures=[asdict(failure) for failure in failures],
                fingerprints={name: codec.identity() for name, codec in bench.codecs.items()},
                anchors=anchors,
                seed=seed,
                resamples=resamples,
                cache=cache,
                progress=lambda _, total: done("intervals", 1 / total),
            )
        examples = partial(_examples, observations, dataset, bench, seed, cache)
        unwritten = _write(wanted, report, examples, force, ctx.ensure_object(Settings).debug)
    _show(report, wanted)
    return 1 if failures or unwritten else 0


def _clips(folder: Path, frames: int | None, gop: int | None) -> Clips | None:
    """How clips are taken, None for a folder of pictures."""
    from icmhcodec.bench.contract import Clips
    from icmhcodec.bench.datasets import holds_clips

    if holds_clips(folder):
        return Clips(frames) if gop is None else Clips(frames, gop)
    for name, value in (("--frames", frames), ("--gop", gop)):
        if value is not None:
            raise UsageError(f"{name}: there are no clips in {folder}, or pictures beside them")
    return None


def _check_targets(targets: Mapping[str, Path], force: bool) -> None:
    """Refuse, before hours of work, what could not be written after them."""
    for kind, target in targets.items():
        if target == STREAM:
            if kind != "json":
                raise UsageError(f"--{kind} -: only --json goes to stdout; name a file")
            continue
        files.check_target(target, [], force=force)
        if kind == "plot" and target.suffix.lower() not in (".png", ".svg"):
            raise UsageError(f"--plot {target}: plots are written as .png or .svg")
    if len(set(targets.values())) < len(targets):
        raise UsageError("two reports would go to one file; name another")


def _with_sides(points: Points, bench: Bench) -> Points:
    """The points of `avif@net` as those of `avif@416`, which is what it is called from here on."""
    side = getattr(bench.network, "side", 0)  # of clips there is none
    return {
        name[: -len("net")] + str(side) if side and name.endswith("@net") else name: values
        for name, values in points.items()
    }


def _check_choices(bench: Bench, task: str | None, points: Points, anchors: Sequence[str]) -> None:
    """Refuse, before any work, what names nothing that is measured."""
    from icmhcodec.bench.contract import curve_name
    from icmhcodec.bench.curves import choose_anchors

    if not bench.codecs:
        raise UsageError("no codec is left to measure; name others with --codecs")
    network = bench.network
    if task is not None and network is not None and task not in (network.task, network.name):
        raise UsageError(f"--network {network.name} is for {network.task}, not for --task {task}")
    names = list(dict.fromkeys(codec.name for codec in bench.codecs.values()))
    for name in points:
        if name not in names:
            raise UsageError(f"--points {name}: no such codec here; there are {', '.join(names)}")
    choose_anchors(
        [curve_name(codec, view) for codec in bench.codecs.values() for view in codec.views],
        anchors,
    )


def _check_packages(bench: Bench, targets: Mapping[str, Path]) -> None:
    """Refuse, before any work, what could not be computed or drawn after it."""
    curves = [view for codec in bench.codecs.values() for view in codec.views]
    drawn = [f"--{kind}" for kind in DRAWN if kind in targets]
    needs = {"bjontegaard": ["BD-rates"] if len(curves) > 1 else [], "matplotlib": drawn}
    for package, purposes in needs.items():
        if purposes and find_spec(package) is None:
            message = f"{' and '.join(purposes)}: the package {package} is not here"
            raise UsageError(f"{message}; pip install 'icmhcodec[bench]'")


@contextmanager
def _cache(folder: Path | None, without: bool) -> Iterator[Cache | None]:
    if without:
        yield None
        return
    from icmhcodec.bench import cache

    with closing(cache.Cache(folder or cache.default_folder())) as kept:
        yield kept


def _spread(
    start: Callable[[], Any], ray: str | None, jobs: int, threads: int | None, device: str
) -> Spread | None:
    """Who does the work: a cluster, processes here, or this one."""
    if ray is not None:
        from icmhcodec.bench import cluster

        number = jobs if jobs > 1 else None
        gpu = device.startswith("cuda")
        return partial(cluster.run, start=start, address=ray, jobs=number, gpu=gpu)
    if jobs > 1:
        from icmhcodec.pipeline import jobs as pool

        return partial(pool.run, start=start, jobs=jobs, threads=threads)
    return None


def _write(
    targets: Mapping[str, Path],
    report: Mapping[str, Any],
    examples: Callable[[], list[Example]],
    force: bool,
    debug: bool,
) -> list[Path]:
    """Write the reports; one that cannot be written is named and does not stop the others."""
    unwritten = []
    for kind, target in targets.items():
        try:
            files.write(target, _content(kind, target, report, examples), force=force)
        except BrokenPipeError:
            raise
        except Exception as error:
            complain(describe(error, f"--{kind} {target}")[0], error if debug else None)
            unwritten.append(target)
    return unwritten


def _show(report: Mapping[str, Any], targets: Mapping[str, Path]) -> None:
    """Print the tables, beside the JSON where that has stdout."""
    from rich.console import Console

    from icmhcodec.cli import bench_tables

    to_stderr = STREAM in targets.values()
    stream = sys.stderr if to_stderr else sys.stdout
    bench_tables.show(report, Console(file=stream, width=None if stream.isatty() else PIPE_WIDTH))


def _examples(
    observations: Sequence[Observation],
    dataset: Dataset,
    bench: Bench,
    seed: int,
    cache: Cache | None,
) -> list[Example]:
    from icmhcodec.bench.contract import curve_name
    from icmhcodec.bench.report import examples

    if bench.clips:
        return []
    used = {one.curve for one in observations}
    codecs = [
        cast("ComparedCodec", codec)
        for codec in bench.codecs.values()
        if any(curve_name(codec, view) in used for view in codec.views)
    ]
    return examples.draw(
        observations,
        dataset,
        codecs,
        cast("RecognitionNetwork[Any] | None", bench.network),
        seed=seed,
        cache=cache,
        conditions=bench.conditions(),
    )


def _content(
    kind: str, target: Path, report: Mapping[str, Any], examples: Callable[[], list[Example]]
) -> bytes:
    """The bytes of a report in one of its forms."""
    if kind == "json":
        return (json.dumps(report, indent=2, ensure_ascii=False) + "\n").encode()
    from icmhcodec.bench.report import csv, html, plot

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / target.name
        if kind == "html":
            html.write(path, report, examples())
        else:
            {"csv": csv.write, "plot": plot.write}[kind](path, report)
        return path.read_bytes()
