"""Adapters, predictors and full fine-tuning beside each other, each trained for as long.

Each method is trained on photos for the same time (a finished one is not trained again, one that
was stopped goes on), then all are measured as `icmh bench` does: real files, the same pictures, the
accuracy of the task's network, BD-rates against the base codec's picture for people. Operations are
counted, times taken in pairs with the base codec. The table is made from the JSON alone.

    python -m benchmarks.adapters                       the usual methods, 20 minutes each
    python -m benchmarks.adapters sfma sfma-32 channels these
    python -m benchmarks.adapters --table-only          docs/adapters.md from the JSON
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import click
import torch

from benchmarks import common, operations
from benchmarks.common import Pixels
from benchmarks.operations import NOTHING, Operations
from benchmarks.speed import Times, timed
from benchmarks.tables.cells import markdown, number
from icmhcodec import modelfile
from icmhcodec.adapters import bundles
from icmhcodec.bench import cache as caching
from icmhcodec.bench import datasets, engine
from icmhcodec.bench.codecs.icmh import POINTS, IcmhCodec, shared_codec
from icmhcodec.bench.contract import HUMAN, ComparedCodec, Resources
from icmhcodec.bench.measure import read
from icmhcodec.bench.report import words
from icmhcodec.bench.summary import summarise
from icmhcodec.cli.train import live
from icmhcodec.codecs import registry
from icmhcodec.codecs.contract import BaseCodec
from icmhcodec.masks import kinds
from icmhcodec.modelfile import ModelFile
from icmhcodec.pipeline import jobs as pool
from icmhcodec.pipeline.codec import DEFAULT_BASE
from icmhcodec.pipeline.networks import Networks, reference_of
from icmhcodec.tasks.contract import RecognitionNetwork, load_network
from icmhcodec.training import adapter, full, loop, photos, recipe
from icmhcodec.training.adapter import TaskRecipe
from icmhcodec.training.recipe import BaseRecipe

RECIPES = Path(recipe.__file__).parent / "recipes" / "tasks"
PHOTOS = common.ROOT.parent / "shared" / "data" / "train_photos"
PICTURES = common.ROOT.parent / "shared" / "data" / "coco206_val2017"
TABLE = common.ROOT / "docs" / "adapters.md"
BASE = "base"  # the curve of the base codec
SIDE = 512  # pixels of the picture that operations are counted on
TIMED, QUALITY = 5, 4.0  # pictures that times are taken of, and their quality
FULL = "full"
DONE = "done.json"

Row = dict[str, Any]


@dataclass(frozen=True)
class Method:
    """A recipe of the package with changes; of the paper its BD-rate (%) and parameters (M)."""

    recipe: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    paper: tuple[float, float] | None = None

    @property
    def profile(self) -> str:
        """Of the files with its layer: "machine" or "scalable"; "full" has no layers."""
        return self.recipe.split("-")[0]


EVERY = (0, 1, 2)
_BOTH: dict[str, Any] = {"encoder": EVERY, "decoder": EVERY}
_NONE: dict[str, Any] = {"encoder": (), "decoder": (), "alone": 1.0}


def _machine(paper: tuple[float, float] | None = None, **changes: Any) -> Method:
    return Method("machine-plain", {**_BOTH, **changes}, paper)


# The published figures are those of detection in Adapt-ICMH, on mbt2018-mean.
METHODS = {
    "sfma": _machine((-56.17, 0.28)),
    "sma": _machine((-51.94, 0.16), kind="sma"),
    "fma": _machine((-52.86, 0.12), kind="fma"),
    "naive-64": _machine((-46.83, 0.11), kind="naive"),
    "predictor": Method("scalable", _NONE),
    "predictor-sfma": Method("scalable", {"decoder": EVERY}),
    FULL: Method(FULL, {}, (-60.87, 7.03)),
    "fma-sma": _machine((-56.87, 0.28), kind="fma-sma"),
    "sma-fma": _machine((-53.77, 0.28), kind="sma-fma"),
    "two-sma": _machine((-54.91, 0.32), kind="two-sma"),
    "sfma-1": _machine((-48.58, 0.005), width=1),
    "sfma-32": _machine((-53.61, 0.14), width=32),
    "sfma-128": _machine((-63.28, 0.62), width=128),
    "naive-96": _machine((-47.92, 0.16), kind="naive", width=96),
    "sfma-encoder": _machine(decoder=()),
    "sfma-decoder": _machine(encoder=()),
    "sfma-outer": _machine(encoder=(0,), decoder=(2,)),
    "sfma-middle": _machine(encoder=(1,), decoder=(1,)),
    "sfma-inner": _machine(encoder=(2,), decoder=(0,)),
    "sfma-whole-map": _machine(window=0),
    "icmh-net": Method("scalable", {**_NONE, "predictor": "icmh-net"}, (-6.02, 3.98)),
    "channels": Method("scalable", {**_NONE, "predictor": "channels"}, (-23.07, 0.91)),
}
USUAL = ("sfma", "sma", "fma", "naive-64", "predictor", "predictor-sfma", FULL)


@dataclass(frozen=True)
class Plan:
    """What one run compares, and where the trained methods lie."""

    base: str
    network: str
    photos: Path
    work: Path
    minutes: float
    changes: Mapping[str, Any] = field(default_factory=dict)  # of all recipes

    def folder(self, method: str) -> Path:
        return self.work / method

    def recipe(self, method: str) -> TaskRecipe | BaseRecipe:
        """The recipe of a method, for as many minutes as all others."""
        chosen = METHODS[method]
        kind: type[TaskRecipe | BaseRecipe] = TaskRecipe if chosen.recipe != FULL else BaseRecipe
        found = recipe.load_as(kind, chosen.recipe, RECIPES)
        return replace(found, minutes=self.minutes, **{**chosen.changes, **self.changes})

    def seeing(self) -> RecognitionNetwork[Any]:
        return load_network(self.network)


def train(plan: Plan, method: str, report: Callable[[str], None] = lambda line: None) -> None:
    """Train a method to its end, unless that is done; click's Exit where it is stopped."""
    folder, chosen = plan.folder(method), plan.recipe(method)
    networks = Networks("cpu", "auto")
    codec = networks.base(plan.base, networks.dtype(0))
    network = plan.seeing()
    identity = _plain(
        {"recipe": asdict(chosen), "base": codec.fingerprint.hex(), "network": network.fingerprint}
    )
    if (folder / DONE).exists():
        if done(plan, method)["identity"] != identity:
            raise click.ClickException(f"{folder} was trained otherwise; name another --work")
        return
    folder.mkdir(parents=True, exist_ok=True)
    found = photos.load(plan.photos, chosen.crop, plan.work)
    run = _run(codec, chosen, network)
    if (state := folder / loop.STATE).exists():
        run.load(state)
    crops = photos.Crops(
        found, chosen.crop, chosen.batch, chosen.scales, chosen.mirror, chosen.turn, chosen.seed
    )

    def said(progress: loop.Progress) -> None:
        report(f"{method}: {progress.done:.0%}, step {progress.steps}")

    with live.stop_on_interrupt() as stopped:
        loop.train(run, crops, folder, said, stopped)
    if run.done < 1:
        report(f"{method}: stopped at {run.done:.0%}; the same command goes on")
        raise click.exceptions.Exit(130)
    record = {
        "identity": identity,
        "photos": len(found.training),
        "steps": run.steps,
        "seconds": run.seconds,
        "threads": torch.get_num_threads(),
        "parameters": sum(parameter.numel() for parameter in run.trained.parameters()),
    }
    _export(run, network.task, method, folder)
    common.write_json(folder / DONE, record)


def _run(
    codec: BaseCodec, chosen: TaskRecipe | BaseRecipe, network: RecognitionNetwork[Any]
) -> adapter.Run | full.Run:
    if isinstance(chosen, BaseRecipe):
        return full.Run(codec, chosen, network.features)
    return adapter.Run(codec, chosen, network.features, network.side)


def _export(run: adapter.Run | full.Run, task: str, method: str, folder: Path) -> None:
    """Write the method's files and put them where the codec finds them."""
    if isinstance(run, full.Run):
        path = folder / "base.safetensors"
        full.export(run, _name(method), {}, path)
        registry.add(path)
        return
    for model in adapter.export(run, task, _name(method), {}):
        path = folder / f"{model.kind}.safetensors"
        modelfile.write(path, model)
        bundles.add(path)


def _name(method: str) -> str:
    return f"bench-{method}-0"


def _plain(value: Any) -> Any:
    """As JSON gives it back."""
    return common.rounded(json.loads(json.dumps(value)))


def done(plan: Plan, method: str) -> Row:
    """What is known of a finished training."""
    found: Row = json.loads((plan.folder(method) / DONE).read_text())
    return found


class LayerCodec(IcmhCodec):
    """Files with the layer of one bundle, named by its id, and nothing for people."""

    def __init__(
        self, method: str, profile: str, task: str, base: str, resources: Resources
    ) -> None:
        super().__init__(method, profile, [task], {None: base}, resources)
        self.views = (task,)
        self._base = base

    def identity(self) -> dict[str, str]:
        """Versions, and fingerprints of this bundle."""
        known = IcmhCodec(self.name, "plain", (), self._bases, self._resources).identity()
        base = reference_of(registry.load(self._base))
        for kind in bundles.KINDS:
            if bundle := bundles.find(kind, _name(self.name), base, self.profile):
                known[kind] = f"{bundle[1].id} {bundle[1].fingerprint.hex()}"
        return known

    def encode(self, pixels: Pixels, point: float) -> bytes:
        """The file of the layer alone, at a quality."""
        coded = shared_codec(self._base, self._resources).encode(
            pixels,
            tasks=[_name(self.name)],
            quality=point,
            profile=self.profile,
            with_human=False,
        )
        return coded.data


def compared(
    plan: Plan, methods: Sequence[str], task: str, resources: Resources
) -> dict[str, ComparedCodec]:
    """The base codec and the methods, by name."""
    plain = partial(IcmhCodec, profile="plain", tasks=(), resources=resources)
    found: dict[str, ComparedCodec] = {BASE: plain(BASE, bases={None: registry.resolve(plan.base)})}
    for method in methods:
        if METHODS[method].recipe == FULL:
            found[method] = plain(method, bases={None: _name(method)})
        else:
            profile = METHODS[method].profile
            base = registry.resolve(plan.base)
            found[method] = LayerCodec(method, profile, task, base, resources)
    return found


def prepare(plan: Plan, methods: Sequence[str], threads: int | None) -> engine.Bench:
    """What every worker has."""
    if threads is not None:
        torch.set_num_threads(threads)
    network = plan.seeing()
    made = compared(plan, methods, network.task, Resources(threads))
    return engine.Bench({engine.label(codec): codec for codec in made.values()}, network)


def evaluate(
    plan: Plan,
    methods: Sequence[str],
    folder: Path,
    *,
    limit: int | None = None,
    points: Sequence[float] = POINTS,
    resamples: int = 200,
    jobs: int = 1,
    threads: int | None = None,
) -> Row:
    """The report of `icmh bench` over a data set, its anchor the base codec."""
    bench = prepare(plan, methods, threads)
    assert bench.network is not None
    dataset = datasets.recognise(folder.resolve(), limit=limit, seed=0, task=bench.network.task)
    work = partial(engine.start, partial(prepare, plan, methods, threads), bench.identity())
    spread = partial(pool.run, start=work, jobs=jobs, threads=threads) if jobs > 1 else None
    settings = {codec.name: tuple(points) for codec in bench.codecs.values()}
    with closing(caching.Cache(plan.work)) as cache:
        observations, failures = engine.run(
            bench, dataset.samples, points=settings, cache=cache, spread=spread
        )
        return summarise(
            observations,
            dataset=dataset,
            network=bench.network,
            command="python -m benchmarks.adapters",
            failures=[asdict(failure) for failure in failures],
            fingerprints={name: codec.identity() for name, codec in bench.codecs.items()},
            anchors=[BASE],
            resamples=resamples,
            cache=cache,
        )


@torch.no_grad()
def cost(plan: Plan, method: str) -> Row:
    """Operations on each side that a method adds to the base codec's, and the predictor's.

    The predictor is counted as the network that was trained; both sides run its integers.
    """
    codec = registry.load(plan.base)
    x = torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    y = codec.analysis(x)
    encoder, decoder = (
        operations.count(codec.analysis, x),
        operations.count(codec.synthesis, y),
    )
    added = {"encoder": NOTHING, "decoder": NOTHING, "predictor": NOTHING}
    path = plan.folder(method) / "adapter.safetensors"
    if path.exists():
        networks, (_, reference) = Networks("cpu", "float32"), bundles.read(path)
        before = networks.stages(reference, "encoder", codec.encoder_channels)
        after = networks.stages(reference, "decoder", codec.decoder_channels)
        added["encoder"] = operations.count(codec.analysis, x, before) - encoder
        added["decoder"] = operations.count(codec.synthesis, y, after) - decoder
    path = plan.folder(method) / "predictor.safetensors"
    if path.exists():
        added["predictor"] = _predictor_cost(modelfile.read(path), y)
    counted = {"base encoder": encoder, "base decoder": decoder, **added}
    return {name: each.per_pixel(SIDE * SIDE) for name, each in counted.items()}


def _predictor_cost(model: ModelFile, y: torch.Tensor) -> Operations:
    network = kinds.create(kinds.kind_of(model.tensors), y.shape[1])
    one = torch.ones(1)
    index = torch.zeros_like(y, dtype=torch.long)
    return operations.count(network, y, index, one, one.long(), one.long())


def times(codecs: Mapping[str, ComparedCodec], pictures: Sequence[Pixels]) -> dict[str, Row]:
    """Median milliseconds of encoding and decoding, and the medians of ratios to the base codec.

    Pairs take turns, so that what else runs on the machine meets both.
    """
    base = codecs[BASE]
    found: dict[str, Row] = {}
    for name, codec in codecs.items():
        taken: Times = defaultdict(list)
        for turn, pixels in enumerate([pictures[0], *pictures]):
            if turn == 1:  # the first picture came once to warm up
                taken.clear()
            for side, one in ([("own", codec), ("base", base)], [("base", base), ("own", codec)])[
                turn % 2
            ]:
                data = timed(taken, f"{side} encode", one.encode, pixels, QUALITY)
                part = one.cut(data, one.views[0])
                timed(taken, f"{side} decode", one.decode, part, one.views[0])
        found[name] = {}
        for what in ("encode", "decode"):
            own, other = taken[f"own {what}"], taken[f"base {what}"]
            found[name][f"{what}_ms"] = 1000 * common.median(own)
            ratios = [a / b for a, b in zip(own, other, strict=True)]
            found[name][f"{what}_to_base"] = common.median(ratios)
    return found


def results(plan: Plan, methods: Sequence[str], report: Row, took: Mapping[str, Row]) -> Row:
    """All that the table is made from."""
    metric = words.main_metric(report)
    rows = []
    for method in methods:
        profile = METHODS[method].profile
        view = HUMAN if profile == FULL else report["task"]
        curve = f"{method}/{'plain' if profile == FULL else profile}/{view}"
        entries = {e["metric"]: e for e in report["bd"] if e["curve"] == curve}
        known = done(plan, method)
        rows.append(
            {
                "method": method,
                "profile": profile,
                "bd": entries.get(metric),
                "parameters": known["parameters"],
                "steps": known["steps"],
                "seconds": known["seconds"],
                "threads": known["threads"],
                "photos": known["photos"],
                "recipe": known["identity"]["recipe"],
                "operations": cost(plan, method),
                "times": took[method],
                "paper": METHODS[method].paper,
            }
        )
    return {
        "metric": metric,
        "base": report["fingerprints"][f"{BASE}/plain"]["base"],
        "minutes": plan.minutes,
        "machine": common.machine(),
        "base_times": took[BASE],
        "rows": rows,
        "bench": report,
    }


def table(found: Row) -> str:
    """The page, of nothing but the results."""
    bench, first = found["bench"], found["rows"][0]
    metric = words.title(found["metric"])
    titles = ["method", "profile", f"BD-rate ({metric})", f"BD-{metric}", "parameters (M)"]
    titles += ["kMAC/pixel, encoder", "decoder", "predictor", "FFT kFLOP/pixel"]
    titles += ["encode (ms)", "decode (ms)", "steps", "paper: BD-rate", "paper: M"]
    lines = [_line(row) for row in found["rows"]]
    base = first["operations"]
    took = found["base_times"]
    totals = " and ".join(
        f"{number(base[f'base {side}']['kmac_per_pixel'], 1)} in the {side}"
        for side in ("encoder", "decoder")
    )
    paragraphs = [
        "# Methods beside each other",
        f"Each trained for {found['minutes']:g} minutes of the schedule on "
        f"{found['machine']['cpu']} ({first['threads']} of its threads, batches of "
        f"{first['recipe']['batch']}), on {first['photos']} photos, for {bench['network']['id']}, "
        f"and measured on {bench['dataset']['images']} pictures of {bench['dataset']['name']} with "
        "real files. "
        f"BD-rates are against `{found['base'].split()[0]}`, the picture for people at all its "
        "qualities; below zero: fewer bits at the same accuracy. In brackets the 95 % interval "
        "over pictures. Operations are what a method adds to the base codec "
        f"({totals}); a predictor runs on both sides. Times are medians of whole "
        f"pictures at quality {QUALITY:g} (the base codec: {number(took['encode_ms'], 0)} and "
        f"{number(took['decode_ms'], 0)} ms), in brackets the ratio to it in pairs.",
        markdown(titles, lines),
        "The paper's columns are Adapt-ICMH's for detection (ECCV 2024, its ablations and "
        "comparisons). They are not the same experiment: the paper trains one adapter for each of "
        "several fixed rates of `mbt2018-mean`, here one serves all qualities of a codec with "
        "gains; it trains on a large data set with the five feature levels of its detector's "
        "pyramid as the target, here it is the photos and the minutes named above and the network "
        "named above; its spectra are of the whole feature map, here of windows except where the "
        "method's name says otherwise. ICMH-Net's predictor and channel selection are trained "
        "there for one rate each; channel selection's published layers are unknown, here it is one "
        "score for each channel and condition. Adapters in the hyper path are missing: no "
        "exact integers can stand for them, so there are no real files.",
    ]
    return "\n\n".join(paragraphs) + "\n"


def _line(row: Row) -> list[str]:
    bd, cost_, took = row["bd"] or {}, row["operations"], row["times"]
    rate, gain = bd.get("bd_rate_percent"), bd.get("bd_metric")
    between = f" [{bd['ci95'][0]:+.0f} to {bd['ci95'][1]:+.0f}]" if bd.get("ci95") else ""
    ffts = sum(cost_[side]["fft_kflop_per_pixel"] for side in ("encoder", "decoder"))
    paper = row["paper"] or (None, None)
    return [
        f"`{row['method']}`",
        row["profile"],
        "-" if rate is None else f"{rate:+.1f} %{between}",
        number(gain, 2, "+"),
        number(row["parameters"] / 1e6, 3),
        *(number(cost_[p]["kmac_per_pixel"], 2) for p in ("encoder", "decoder", "predictor")),
        number(ffts, 2),
        *(f"{took[f'{w}_ms']:.0f} [{took[f'{w}_to_base']:.2f}]" for w in ("encode", "decode")),
        f"{row['steps']:,}",
        number(paper[0], 2, "+") + (" %" if row["paper"] else ""),
        number(paper[1], 3),
    ]


@click.command(help="Adapters, predictors and full fine-tuning, each trained for as long.")
@click.argument("methods", nargs=-1, metavar="[METHOD]...")
@click.option("--photos", "photo_folder", type=click.Path(path_type=Path), default=PHOTOS)
@click.option("--data", type=click.Path(path_type=Path), default=PICTURES, help="To measure on.")
@click.option("--base", default=DEFAULT_BASE, show_default=True)
@click.option("--network", default="det", show_default=True, help="A network's or a task's name.")
@click.option("--minutes", type=float, default=20.0, show_default=True, help="For each training.")
@click.option("--batch", type=click.IntRange(1), default=8, show_default=True, help="Crops a step.")
@click.option("--limit", type=click.IntRange(1), help="Only N pictures, drawn at random.")
@click.option("--points", callback=common.numbers, default=",".join(map(str, POINTS)))
@click.option("--resamples", type=click.IntRange(0), default=200, show_default=True)
@click.option("--jobs", type=click.IntRange(1), default=1, show_default=True, help="Of measuring.")
@click.option("--threads", type=click.IntRange(1), help="Of each process that measures.")
@click.option(
    "--work",
    type=click.Path(path_type=Path),
    default=common.ROOT / "build" / "adapters",
    help="Where trainings and measurements lie; the same one goes on.",
)
@click.option("--output", type=click.Path(path_type=Path), default=common.RESULTS / "adapters.json")
@click.option("--table", "page", type=click.Path(path_type=Path), default=TABLE)
@click.option("--table-only", is_flag=True, help="Only make the table from the JSON.")
def main(
    methods: tuple[str, ...],
    photo_folder: Path,
    data: Path,
    base: str,
    network: str,
    minutes: float,
    batch: int,
    limit: int | None,
    points: list[float],
    resamples: int,
    jobs: int,
    threads: int | None,
    work: Path,
    output: Path,
    page: Path,
    table_only: bool,
) -> None:
    if table_only:
        page.write_text(table(json.loads(output.read_text())))
        return
    chosen = methods or USUAL
    if unknown := set(chosen) - METHODS.keys():
        raise click.UsageError(f"no method {min(unknown)}; there are {', '.join(METHODS)}")
    plan = Plan(base, network, photo_folder, work, minutes, {"batch": batch})
    compare(plan, chosen, data, output, page, limit, points, resamples, jobs, threads)


def compare(
    plan: Plan,
    methods: Sequence[str],
    data: Path,
    output: Path,
    page: Path,
    limit: int | None,
    points: Sequence[float],
    resamples: int,
    jobs: int,
    threads: int | None,
) -> None:
    """Train what is not trained, measure all, write JSON and page."""
    # What was trained is found here, also by the processes that measure; a user's own is not.
    os.environ["ICMH_DATA"] = str((plan.work / "data").resolve())
    for method in methods:
        train(plan, method, lambda line: click.echo(line, err=True))
    report = evaluate(
        plan,
        methods,
        data,
        limit=limit,
        points=points,
        resamples=resamples,
        jobs=jobs,
        threads=threads,
    )
    codecs = compared(plan, methods, report["task"], Resources(threads))
    dataset = datasets.recognise(data.resolve(), limit=TIMED, seed=0, task=report["task"])
    took = times(codecs, [read(sample.path) for sample in dataset.samples])
    found = results(plan, methods, report, took)
    common.write_json(output, found)
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(table(json.loads(output.read_text())))


if __name__ == "__main__":
    main()
