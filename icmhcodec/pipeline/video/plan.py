"""What a sequence needs: its header from options, and its codecs and predictors from its header."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch

from icmhcodec.adapters import bundles
from icmhcodec.codecs.contract import QUALITY_UNIT, BaseCodec
from icmhcodec.codecs.video import registry
from icmhcodec.codecs.video.contract import VideoCodec
from icmhcodec.container import HUMAN, MaskKind, Reference, valid_name
from icmhcodec.container.video import LATENTS, Choice, Header, Latent, Layer
from icmhcodec.errors import FormatError, MissingWeightsError, UsageError
from icmhcodec.masks import video as video_masks
from icmhcodec.masks.video import VideoPredictor
from icmhcodec.pipeline import latent
from icmhcodec.pipeline.area import Area, area_of
from icmhcodec.pipeline.encode import parse_task
from icmhcodec.pipeline.networks import Networks, reference_of
from icmhcodec.pipeline.video.layers import Part, Predict

PROFILE = "scalable"


@dataclass(frozen=True)
class Options:
    """What an encoder may be asked for; `inter` names the codec of P frames.

    `gop` is the number of frames from an I frame to the next; 1 codes all of them alone.
    `portable` writes the masks that predictors give. `bpp` bounds the bits per pixel of the whole
    file without sound; then `quality` is where the search begins.
    """

    tasks: tuple[str, ...] = ()
    quality: float = 4.0
    bpp: float | None = None
    gop: int = 32
    inter: str = "dvc"
    with_human: bool = True
    portable: bool = False
    skip: int | None = None


@dataclass(frozen=True)
class Plan:
    """A sequence's header, its codecs, and its latents by name."""

    header: Header
    intra: BaseCodec
    inter: VideoCodec | None
    parts: dict[str, Part]

    @property
    def area(self) -> Area:
        """All of a frame."""
        return area_of(self.header.width, self.header.height, (1, 1))

    def quality(self, name: str, qualities: tuple[int, ...] | None) -> int:
        """Quality of a latent in a frame that has these, or the header's."""
        index = LATENTS.index(name)
        if qualities is None:
            return self.header.latents[index].quality
        return qualities[max(index - 1, 0)]


def make_header(
    networks: Networks, base: str, options: Options, width: int, height: int, **clip: Any
) -> Header:
    """The header of frames of that size; `clip` are the fields that say what the clip was.

    UsageError for options that cannot be, MissingWeightsError where a codec or bundle is not here.
    """
    quality = round(options.quality * QUALITY_UNIT)
    if not 0 <= options.quality <= 9:
        raise UsageError(f"quality {options.quality}: a number from 0 to 9")
    if options.gop < 1:
        raise UsageError(f"groups of {options.gop} frames: 1 or more")
    if options.skip is not None and not 0 <= options.skip <= 64:
        raise UsageError(f"skip index {options.skip}: a number from 0 to 64")
    if not options.tasks and not options.with_human:
        raise UsageError("a file without the human layer needs a task")
    dtype = networks.dtype(quality)
    intra = networks.base(base, dtype)
    codecs: list[BaseCodec] = [intra]
    references = [reference_of(intra)]
    inter = None
    if options.gop > 1:
        video = _named(options.inter, networks.device, dtype)
        inter = Reference(video.id, video.fingerprint)
        codecs += [video.latent(name) for name in LATENTS[1:]]
        references += [inter] * 2
    layers = [_layer(text, references, options.portable) for text in options.tasks]
    if len({layer.task for layer in layers}) < len(layers):
        raise UsageError("each task is named once")
    if options.with_human:
        layers.append(Layer(HUMAN, (Choice(0, MaskKind.FULL),) * len(codecs)))
    skips = [codec.default_skip if options.skip is None else options.skip for codec in codecs]
    return Header(
        width=width,
        height=height,
        intra=references[0],
        inter=inter,
        gop=options.gop,
        latents=tuple(
            Latent(codec.latent_channels, codec.hyper_channels, quality, skip)
            for codec, skip in zip(codecs, skips, strict=True)
        ),
        layers=tuple(layers),
        **clip,
    )


def _named(name: str, device: torch.device, dtype: torch.dtype) -> VideoCodec:
    try:
        path = registry.resolve(name)
    except MissingWeightsError as error:
        message = f"{error}; groups of one frame (--gop 1) need none"
        raise MissingWeightsError(message) from error
    said = dict(registry.available())[path]
    return _referred(Reference(said["id"], bytes.fromhex(said["fingerprint"])), device, dtype)


def _layer(text: str, references: list[Reference], portable: bool) -> Layer:
    """A task's layer, by the bundles that are here for each latent's codec."""
    name, level = parse_task(text)
    if not valid_name(name) or name == HUMAN:
        raise UsageError(f"task '{name}': a letter, then letters a-z, 0-9, . and -, not 'human'")
    choices = []
    task = name
    for reference in references:
        predictor, adapter = (
            bundles.find(kind, name, reference, PROFILE) for kind in ("predictor", "adapter")
        )
        if predictor is None:
            raise MissingWeightsError(
                f"task '{name}': no bundle for {reference.id} is here; add one with "
                "'icmh models add FILE'"
            )
        task = predictor[0].metadata["task"]
        mask = MaskKind.EXPLICIT if portable else MaskKind.DERIVED
        # What was derived when it was written is not named: no decoder needs it.
        named = None if portable else predictor[1]
        choices.append(Choice(level, mask, named, adapter and adapter[1]))
    return Layer(task, tuple(choices))


def make_plan(networks: Networks, header: Header, portable: Options | None = None) -> Plan:
    """The codecs and predictors that a header names; MissingWeightsError where one is not here.

    An encoder that writes masks gives its options, which say by which predictors.
    """
    dtype = networks.dtype(max(latent.quality for latent in header.latents))
    intra = networks.base_of(header.intra, dtype)
    codecs: list[BaseCodec] = [intra]
    inter = None
    if header.inter is not None:
        inter = _referred(header.inter, networks.device, dtype)
        codecs += [inter.latent(name) for name in LATENTS[1:]]
    parts = {}
    for index, (name, codec) in enumerate(zip(LATENTS, codecs, strict=False)):
        said = header.latents[index]
        if (said.channels, said.hyper_channels) != (codec.latent_channels, codec.hyper_channels):
            raise FormatError(f"{name}: the header says other channels than {codec.id} has")
        choices = tuple(layer.choices[index] for layer in header.layers)
        named = [choice.predictor for choice in choices]
        if portable is not None:
            own = header.inter if index else header.intra
            assert own is not None  # or there is one latent alone
            named = [_predictor_of(text, own) for text in portable.tasks]
            named += [None] * portable.with_human
        predict = tuple(
            None if reference is None else _predict(reference, name, networks.device)
            for reference in named
        )
        parts[name] = Part(name, codec, said.skip, choices, predict)
    return Plan(header, intra, inter, parts)


def _predictor_of(text: str, codec: Reference) -> Reference:
    found = bundles.find("predictor", parse_task(text)[0], codec, PROFILE)
    assert found is not None  # the header was made with it
    return found[1]


def _predict(reference: Reference, name: str, device: torch.device) -> Predict:
    if name == LATENTS[0]:
        return lambda prior, before, condition: latent.predicted(reference, prior, condition)
    # Loaded when it is needed: layers that are not decoded do without theirs.
    return lambda prior, before, condition: _predictors(reference, device)[name](
        prior.mean, prior.index, before, condition
    )


@lru_cache(maxsize=8)
def _predictors(reference: Reference, device: torch.device) -> dict[str, VideoPredictor]:
    return video_masks.load(bundles.by_reference("predictor", reference).tensors, device)


@lru_cache(maxsize=4)
def _referred(reference: Reference, device: torch.device, dtype: torch.dtype) -> VideoCodec:
    return registry.load_reference(reference, device, dtype)
