"""One process of the exactness benchmark of clips: codes or decodes a clip under one setting.

python -m benchmarks.video_exactness_worker JOB, the job as JSON; records are those of
`exactness_worker`, with a file for each quality.
"""

from __future__ import annotations

import hashlib
import io
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import ClassVar

import numpy as np
from torch import Tensor, nn

from benchmarks import common
from benchmarks.exactness_worker import (
    Setting,
    decode_files,
    digest,
    encode_record,
    integers,
    networks_under,
    put_under,
    watched,
)
from icmhcodec.codecs.video.contract import LATENTS, latent_file
from icmhcodec.container.video import Frame, Reader, Writer
from icmhcodec.pipeline.networks import Networks
from icmhcodec.pipeline.video.decode import decode_frames, integers_of
from icmhcodec.pipeline.video.encode import Picture, encode_frames
from icmhcodec.pipeline.video.plan import Options, Plan, make_header, make_plan


@dataclass(frozen=True)
class Job:
    """What a process does: "encode" a clip, or "decode" the files that other jobs wrote."""

    module: ClassVar[str] = "benchmarks.video_exactness_worker"

    action: str
    setting: Setting
    sources: tuple[str, ...]  # slugs of the encoders to decode; the first one's are also shown
    work: str
    clip: str  # frames, uint8 [T,H,W,3]
    base: str
    inter: str
    gop: int
    tasks: tuple[str, ...]
    qualities: tuple[float, ...]

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Job:
        fields = json.loads(text)
        fields["setting"] = Setting(**fields["setting"])
        for name in ("sources", "tasks", "qualities"):
            fields[name] = tuple(fields[name])
        return cls(**fields)


def under(plan: Plan, setting: Setting) -> Plan:
    """The plan with a codec of P frames that computes as the setting says, as that of I frames."""
    if plan.inter is None:
        return plan
    codec = plan.inter.to(plan.inter.device, plan.inter.dtype)  # others have the first one, too
    for name in LATENTS:
        put_under(setting, codec.latent(name), latent_file(codec._model, name))
    if setting.layout == "contiguous":
        for network in vars(codec).values():
            for parameter in network.parameters() if isinstance(network, nn.Module) else ():
                parameter.data = parameter.data.contiguous()
    parts = {name: replace(plan.parts[name], codec=codec.latent(name)) for name in LATENTS}
    return replace(plan, inter=codec, parts={**plan.parts, **parts})


def encode(job: Job, networks: Networks) -> None:
    """Code the clip at each quality."""
    target = encode_record(Path(job.work), job.setting.slug)
    target.parent.mkdir(parents=True, exist_ok=True)
    clip = [Picture(number, pixels) for number, pixels in enumerate(np.load(job.clip))]
    files: dict[str, dict[str, str]] = {}
    start = time.monotonic()
    for quality in job.qualities:
        data, symbols = encode_with_digest(job, networks, clip, quality)
        stem = f"q{quality:g}"
        target.with_name(f"{stem}.icm").write_bytes(data)
        found = {"file": hashlib.sha256(data).hexdigest(), "symbols": symbols}
        files[stem] = {**found, "case": f"{job.base}, {job.inter}, quality {quality:g}"}
    seconds = (time.monotonic() - start) / (len(files) * len(clip))
    common.write_json(target, {"setting": asdict(job.setting), "seconds": seconds, "files": files})


def encode_with_digest(
    job: Job, networks: Networks, clip: list[Picture], quality: float
) -> tuple[bytes, str]:
    """The encoder's file, and the digest of the integers it had in hand while writing it."""
    options = Options(job.tasks, quality, gop=job.gop, inter=job.inter)
    height, width = clip[0].pixels.shape[:2]
    header = make_header(
        networks, job.base, options, width, height, time_base=Fraction(1, 25), rate=Fraction(25)
    )
    plan = under(make_plan(networks, header), job.setting)
    stream = io.BytesIO()
    with watched() as seen:
        writer = Writer(stream, header)
        for frame in encode_frames(plan, clip):
            writer.write_frame(frame)
        writer.close()
    # Hyper-symbols are told by means and indexes, and by each frame's checksum.
    return stream.getvalue(), digest(*(part for one in seen for part in integers(one)[1:]))


def opened(networks: Networks, setting: Setting, data: bytes) -> tuple[Plan, Iterator[Frame]]:
    """The frames of a file, and what decodes them."""
    reader = Reader(io.BytesIO(data))
    frames = (item for item in reader if isinstance(item, Frame))
    return under(make_plan(networks, reader.header), setting), frames


def decoded_digest(networks: Networks, setting: Setting, data: bytes) -> str:
    """The digest of what a decoder makes of all layers of a file."""
    plan, frames = opened(networks, setting, data)
    parts: list[Tensor] = []
    for _, found in integers_of(plan, frames, len(plan.header.layers) - 1):
        for one in found.values():
            parts += [one.prior.mean, one.prior.index, one.symbols[-1]]
    return digest(*parts)


def shown(networks: Networks, setting: Setting, data: bytes) -> common.Pixels:
    """All frames that people see, uint8 [T,H,W,3]."""
    plan, frames = opened(networks, setting, data)
    decoded = decode_frames(plan, frames, len(plan.header.layers) - 1)
    return np.stack([frame.pixels for frame in decoded])


def decode(job: Job, networks: Networks) -> None:
    """Decode every distinct file of the sources to symbols, and the plainest to pixels."""
    decode_files(
        Path(job.work), job.setting, job.sources,
        lambda data: decoded_digest(networks, job.setting, data),
        lambda data: shown(networks, job.setting, data),
    )  # fmt: skip


def run(job: Job) -> None:
    networks = networks_under(job.setting, [job.base])
    {"encode": encode, "decode": decode}[job.action](job, networks)


if __name__ == "__main__":
    run(Job.from_json(sys.argv[1]))
