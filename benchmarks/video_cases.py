"""Clips to measure with, of photos that are panned and zoomed, and video codecs nobody trained.

python -m benchmarks.video_cases FOLDER [NAME ...]
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO
from unittest.mock import patch

import av
import click
import numpy as np
import torch
from PIL import Image, ImageDraw

from benchmarks.common import KODAK, Pixels, pictures
from icmhcodec import modelfile
from icmhcodec.adapters import bundles
from icmhcodec.codecs.video import registry
from icmhcodec.imageio.clip import ClipFrame
from icmhcodec.pipeline.codec import Codec
from tests.codecs.video.tiny import tiny_model
from tests.pipeline.conftest import random_bundle
from tests.pipeline.video.conftest import video_bundle

SHOT = 100  # frames from one photo to the next
OBJECTS = 2  # that move in front of a photo
SOUND_RATE = 48000
CRF = "12"  # x264's: its loss is hardly a codec's work
BASE, TASK = "test-tiny", "det"


@dataclass(frozen=True)
class Clip:
    """A clip with sound: pixels, seconds, frames per second."""

    width: int
    height: int
    seconds: float
    rate: int = 25

    @property
    def frames(self) -> int:
        return round(self.seconds * self.rate)


# What to code with: as users do, with the package's picture codec alone, and with random networks.
CASES: dict[str, dict[str, Any]] = {
    "default": {},
    "gop-1": {"gop": 1},
    "random": {"base": BASE, "inter": "tiny-dvc-0", "gop": 12},
}
CLIPS = {
    "small": Clip(256, 144, 10),
    "hd": Clip(1280, 720, 2),
    "short": Clip(256, 144, 6),
    "long": Clip(256, 144, 60),
}


def frames(clip: Clip, photos: Sequence[Path]) -> Iterator[Pixels]:
    """Frames [H,W,3]: a window that moves and zooms by parts of a pixel, and ellipses before it."""
    for number in range(clip.frames):
        shot, time = divmod(number, SHOT)
        if time == 0:
            scene = _opened(photos[shot % len(photos)])
            others = [_opened(photos[(shot + k) % len(photos)]) for k in range(1, OBJECTS + 1)]
            objects = [_cut_out(photo, clip, k) for k, photo in enumerate(others)]
        shown = scene.resize(
            (clip.width, clip.height),
            Image.Resampling.BICUBIC,
            box=_window(scene.size, clip, time / SHOT),
            reducing_gap=2.0,
        )
        for k, (image, mask) in enumerate(objects):
            turn = math.tau * (time / (SHOT * (k + 1) / 2) + k / 3)
            left = clip.width * (0.4 + 0.4 * math.sin(turn))
            top = clip.height * (0.4 + 0.3 * math.cos(1.3 * turn))
            shown.paste(image, (round(left), round(top)), mask)
        yield np.asarray(shown)


def _opened(path: Path) -> Image.Image:
    image = Image.open(path).convert("RGB")
    return image.rotate(90, expand=True) if image.height > image.width else image


def _window(size: tuple[int, int], clip: Clip, part: float) -> tuple[float, float, float, float]:
    """The part of a photo that is seen: from the left to the right, and up to a half nearer."""
    zoom = 0.55 + 0.2 * math.cos(math.tau * part)
    width = size[0] * zoom
    height = min(width * clip.height / clip.width, size[1])
    left = (size[0] - width) * part
    top = (size[1] - height) * (0.5 + 0.3 * math.sin(math.tau * part))
    return left, top, left + width, top + height


def _cut_out(photo: Image.Image, clip: Clip, number: int) -> tuple[Image.Image, Image.Image]:
    size = clip.width // (5 + number), clip.height // (3 + number)
    mask = Image.new("L", size)
    ImageDraw.Draw(mask).ellipse((0, 0, size[0] - 1, size[1] - 1), fill=255)
    return photo.resize(size), mask


def write(path: Path, clip: Clip, photos: Sequence[Path] | None = None) -> Path:
    """Make a clip: H.264, and AAC of a tone that goes up each second."""
    photos = pictures(KODAK) if photos is None else photos
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        video: Any = container.add_stream("libx264", rate=clip.rate, options={"crf": CRF})
        video.width, video.height, video.pix_fmt = clip.width, clip.height, "yuv420p"
        audio: Any = container.add_stream("aac", rate=SOUND_RATE)
        audio.layout = "stereo"
        heard = 0
        for number, pixels in enumerate(frames(clip, photos)):
            container.mux(video.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            until = (number + 1) * SOUND_RATE // clip.rate
            container.mux(audio.encode(_tone(heard, until)))
            heard = until
        container.mux(video.encode(None))
        container.mux(audio.encode(None))
    return path


def _tone(start: int, stop: int) -> av.AudioFrame:
    samples = np.arange(start, stop)
    pitch = 220 * 2.0 ** (samples // SOUND_RATE % 12 / 12)
    wave = (6000 * np.sin(math.tau * pitch * (samples / SOUND_RATE))).astype(np.int16)
    frame = av.AudioFrame.from_ndarray(np.repeat(wave, 2)[None], format="s16", layout="stereo")
    frame.sample_rate, frame.pts, frame.time_base = SOUND_RATE, start, Fraction(1, SOUND_RATE)
    return frame


@contextmanager
def models_of(case: str, folder: Path) -> Iterator[None]:
    """Random networks where the case wants them, in a folder in place of the user's."""
    with patch.dict(os.environ):
        if case == "random":
            os.environ["ICMH_DATA"] = str((folder / "data").resolve())
            add_random_codec()
        yield


def add_random_codec(architecture: str = "dvc") -> str:
    """Put a small codec of P frames to the user's, which fits `test-tiny`, and bundles for TASK.

    Nobody trained it: frames survive it roughly. Gives its id.
    """
    codec = tiny_model(architecture)
    with torch.random.fork_rng(), torch.no_grad():
        models = [*random_bundle(TASK, 0), *video_bundle(codec, TASK, 0)]
    part = modelfile.user_folder() / "random.part"
    try:
        for model in (codec, *models):
            modelfile.write(part, model)
            (registry.add if model is codec else bundles.add)(part)
    finally:
        part.unlink(missing_ok=True)
    return codec.id


def shown_frames(codec: Codec, stream: BinaryIO, **view: Any) -> Iterator[Pixels]:
    """The frames of a coded clip, for people or a task (`human`, `task`)."""
    with closing(iter(codec.open_clip(stream, **view))) as items:
        yield from (item.pixels for item in items if isinstance(item, ClipFrame))


@click.command(help=__doc__)
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("names", nargs=-1, type=click.Choice(list(CLIPS)))
@click.option("--kodak", type=click.Path(path_type=Path), default=KODAK)
def main(folder: Path, names: tuple[str, ...], kodak: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names or CLIPS:
        click.echo(write(folder / f"{name}.mp4", CLIPS[name], pictures(kodak)))


if __name__ == "__main__":
    main()
