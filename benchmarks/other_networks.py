"""What task layers give to networks that they were not trained for.

The layers of each packaged bundle are measured by `icmh bench` with another network of the same
task, beside the base codec's picture: bits at equal accuracy. What was measured is kept in the
bench's cache, so that a run that was stopped goes on. networks/README.md says how to get the
networks.

    ICMH_NETS=FOLDER python -m benchmarks.other_networks
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from benchmarks import common
from benchmarks.common import Row
from icmhcodec.adapters import bundles
from icmhcodec.bench.report.words import HUMAN_METRICS
from icmhcodec.cli.main import icmh

NETWORKS = Path(__file__).parent / "networks"
# task: a network that no packaged bundle of it was trained for, and the pictures
CASES = {
    "det": (str(NETWORKS / "yolov3-tiny.toml"), "coco206_val2017"),
    "cls": ("efficientnet-lite0", "imagenet_nips17_200"),
}
POINTS = "0,2,4,6"


def bases(task: str) -> list[str]:
    """Ids of the base codecs that a bundle of the task is packaged for."""
    packaged = (found for path, found in bundles.available() if path.parent == bundles.PACKAGED)
    return sorted({found["base"] for found in packaged if found["task"] == task})


def measure(network: str, folder: Path, base: str, points: str, more: Sequence[str]) -> Row:
    """The report of `icmh bench` on a base codec's pictures and layers; SystemExit if it fails."""
    codec = f"icmh:{base}"
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch) / "report.json"
        command = ["bench", f"{folder}", "--network", network, "--codecs", codec]
        command += ["--points", f"{codec}={points}", "--anchor", f"{codec}/plain/human"]
        try:
            icmh([*command, "--json", f"{target}", *more], prog_name="icmh")
        except SystemExit as end:  # of every run
            if end.code:
                raise
        report: Row = json.loads(target.read_text())
    return report


def summary(base: str, report: Row) -> Row:
    """What of a report tells how the network fares; what layered files give people is left out."""
    for_people = f"icmh:{base}/scalable/human"
    rows = [
        {
            **{key: row[key] for key in ("curve", "point", "bpp")},
            **{key: _of_network(row[key]) for key in ("metrics", "ci95")},
        }
        for row in report["rows"]
        if row["curve"] != for_people
    ]
    compared = [
        found
        for found in report["bd"]
        if found["curve"] != for_people and found["metric"] not in HUMAN_METRICS
    ]
    about = ("task", "network", "dataset", "settings", "fingerprints")
    return {"base": base, **{key: report[key] for key in about}, "rows": rows, "bd": compared}


def _of_network(metrics: Row) -> Row:
    return {name: value for name, value in metrics.items() if name not in HUMAN_METRICS}


@click.command()
@click.option(
    "--task", "tasks", multiple=True, type=click.Choice([*CASES]), help="Only this; again for more."
)
@click.option("--base", "only", help="Only this base codec; default: all with a packaged bundle.")
@click.option(
    "--data",
    type=click.Path(path_type=Path, exists=True),
    default=common.ROOT.parent / "shared" / "data",
    help="Folder of the data sets.",
)
@click.option("--points", default=POINTS, show_default=True, help="Qualities of the codec.")
@click.option("--output", type=click.Path(path_type=Path))
@click.argument("more", nargs=-1, type=click.UNPROCESSED)
def main(
    tasks: Sequence[str],
    only: str | None,
    data: Path,
    points: str,
    output: Path | None,
    more: Sequence[str],
) -> None:
    """Measure and write the results; MORE are options of icmh bench, after --."""
    found: list[Any] = []
    for task in tasks or CASES:
        network, name = CASES[task]
        for base in [only] if only else bases(task):
            found.append(summary(base, measure(network, data / name, base, points, more)))
    common.write_json(
        output or common.RESULTS / "other-networks.json",
        {"machine": common.machine(), "measured": found},
    )


if __name__ == "__main__":
    main()
