"""Coverage-guided runs of the parser and of the layer decoder, and the corpus that they leave.

    pip install atheris
    python -m benchmarks.fuzz.coverage parser --seconds 600
    python -m benchmarks.fuzz.coverage decoder --seconds 600

What is found new is kept in a work folder and then merged: corpus/ holds the fewest inputs that
reach all that was reached. The tests replay it. Findings stand in the work folder as crash-*.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import click

from benchmarks.common import RESULTS, ROOT, write_json

HERE = Path(__file__).parent
CORPUS = HERE / "corpus"
WORKER = "benchmarks.fuzz.worker"
TARGETS = ("parser", "decoder")
LONGEST = 4096  # bytes of an input
SECONDS, MEGABYTES = 10, 2048


@click.command(help=__doc__)
@click.argument("target", type=click.Choice(TARGETS))
@click.option("--seconds", default=600, show_default=True, help="How long to search.")
@click.option("--work", type=click.Path(path_type=Path), help="Folder for what is found.")
@click.option("--output", type=click.Path(path_type=Path), help="JSON of counts.")
def main(target: str, seconds: int, work: Path | None, output: Path | None) -> None:
    if importlib.util.find_spec("atheris") is None:
        raise click.ClickException("atheris is not here: pip install atheris")
    work = work or Path(tempfile.mkdtemp(prefix=f"icmh-fuzz-{target}-"))
    found, kept, merged = work / "found", CORPUS / target, work / "merged"
    for folder in (found, kept, merged):
        folder.mkdir(parents=True, exist_ok=True)
    seeds(target, found)
    limits = [f"-timeout={SECONDS}", f"-rss_limit_mb={MEGABYTES}", f"-max_len={LONGEST}"]
    search = fuzz(target, work, [f"-max_total_time={seconds}", *limits, str(found), str(kept)])
    reached = statistics(search)
    if not reached["executions"]:
        raise click.ClickException(f"nothing ran; {work / 'log'} says why")
    fuzz(target, work, ["-merge=1", *limits, str(merged), str(kept), str(found)])
    shutil.rmtree(kept)
    shutil.copytree(merged, kept)
    crashes = sorted(path.name for path in work.glob("*-*") if path.is_file())
    counts = {"seconds": seconds, **reached, "findings": crashes}
    counts["corpus"] = {"files": len(list(kept.iterdir())),
                        "bytes": sum(path.stat().st_size for path in kept.iterdir())}  # fmt: skip
    write_json(output or RESULTS / f"fuzz_{target}.json", counts)
    click.echo(f"{target}: {counts}")
    sys.exit(bool(crashes))


def seeds(target: str, folder: Path) -> None:
    """Write valid files to begin with; the first byte says that they are to be sealed."""
    from icmhcodec.pipeline.codec import Codec
    from tests.attacks import samples
    from tests.pipeline.conftest import BASE

    with tempfile.TemporaryDirectory() as data:
        os.environ["ICMH_DATA"] = data
        samples.install_bundles(Path(data))
        codec = Codec(BASE)
        files = {**samples.smallest(codec)}
        if target == "parser":
            files |= {f"large-{name}": data for name, data in samples.encoded(codec).items()}
    for name, content in files.items():
        if len(content) < LONGEST:
            (folder / name).write_bytes(b"\xff" + content)


def fuzz(target: str, work: Path, arguments: list[str]) -> str:
    """Run libFuzzer in a process of its own; what it said."""
    # Merging, libFuzzer starts itself again: as a program.
    program, log = work / "program", work / "log"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m {WORKER} "$0" {target} "$@"\n')
    program.chmod(0o755)
    command = [program, f"-artifact_prefix={work}/", *arguments]
    with log.open("w") as sink:
        subprocess.run(command, stdout=sink, stderr=sink, cwd=ROOT)
    return log.read_text(errors="replace")


def statistics(log: str) -> dict[str, int]:
    """Executions and coverage as libFuzzer counts them."""
    lines = re.findall(r"#(\d+)\s+\w+\s+cov: (\d+) ft: (\d+)", log)
    executions, edges, features = map(int, lines[-1]) if lines else (0, 0, 0)
    return {"executions": executions, "edges": edges, "features": features}


if __name__ == "__main__":
    main()
