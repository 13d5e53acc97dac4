"""Broken and hostile files end in one line that says why, or in a picture; in nothing else."""

from __future__ import annotations

import io
import itertools
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from PIL import Image, UnidentifiedImageError

from icmhcodec import api, container, modelfile, pillow_plugin
from icmhcodec.adapters import bundles
from icmhcodec.codecs import zoo
from icmhcodec.container import MaskKind, Reference, structure
from icmhcodec.errors import FormatError, IcmhError, MissingWeightsError
from icmhcodec.imageio import alpha
from icmhcodec.pipeline.codec import Codec
from icmhcodec.pipeline.info import info
from tests.attacks import mutations, samples
from tests.attacks.forgery import (
    assembled,
    forged,
    pieces,
    with_group,
    with_header,
    with_layer,
)
from tests.attacks.mutations import outcome
from tests.attacks.samples import PIXELS
from tests.container.samples import of_version, varint
from tests.pipeline.conftest import BASE, photo, random_bundle

GIANT = {"width": 16384, "height": 10922}  # just within the limit of pixels


@pytest.fixture(scope="module", autouse=True)
def _models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Random bundles, and no way to the net."""

    def no_net(codec_id: str) -> bytes:
        raise MissingWeightsError(f"{codec_id}: no net here")

    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("models")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ICMH_DATA", str(folder / "data"))
        patch.setenv("ICMH_CACHE", str(folder / "cache"))
        patch.setattr(zoo, "_download", no_net)
        samples.install_bundles(folder)
        _install_det_1(folder / "model.safetensors")
        yield


def _install_det_1(path: Path) -> None:
    """A bundle whose name has a code of version 1.1."""
    for model in random_bundle("det", 2):
        modelfile.write(path, replace(model, metadata={**model.metadata, "id": "det-1"}))
        bundles.add(path)


@pytest.fixture(scope="module")
def codec(_models: None) -> Codec:
    return Codec(BASE)


@pytest.fixture(scope="module")
def files(codec: Codec) -> dict[str, bytes]:
    later = codec.encode(PIXELS[:, :, :3], tasks=["det-1:2"]).data
    return {**samples.encoded(codec), "later": later}


def opened(data: bytes) -> None:
    """Pillow's way to the pixels; what is no picture to it counts as refused."""
    try:
        with Image.open(io.BytesIO(data), formats=[pillow_plugin.FORMAT]) as image:
            image.load()
    except UnidentifiedImageError as error:
        raise FormatError("no picture") from error


def entries(codec: Codec, data: bytes) -> list[Callable[[], object]]:
    """All ways into a file."""
    return [
        lambda: codec.decode(data),
        lambda: codec.decode(data, partial=True),
        lambda: codec.decode(data, task="det", partial=True),
        lambda: codec.symbols(data),
        lambda: codec.verify(data, full=True),
        lambda: info(data, partial=True),
        lambda: opened(data),
        lambda: info(data),
        lambda: codec.decode(data, task="det"),
    ]


@pytest.fixture(scope="module")
def small(codec: Codec) -> dict[str, bytes]:
    return samples.smallest(codec)


@pytest.mark.parametrize("name", ["layered", "portable"])
def test_every_truncation_is_refused_or_decodes_to_what_is_whole(
    codec: Codec, small: dict[str, bytes], name: str
) -> None:
    data = small[name]
    chunks = container.inspect(data)
    ends = {chunk.offset + chunk.size for chunk in chunks} - {len(data)}
    assert len(ends) == len(chunks) - 1
    for length in range(len(data)):
        cut = data[:length]
        if length not in ends:
            with pytest.raises(FormatError):
                codec.decode(cut)
            continue
        tasks = [layer["task"] for layer in info(cut)["layers"] if layer["present"]]
        if not tasks:
            assert outcome(lambda cut=cut: codec.decode(cut)) == "FormatError"
            continue
        decoded = codec.decode(cut)
        assert decoded.layer == tasks[-1]
        whole = codec.decode(data, task=tasks[-1]).picture.pixels
        assert np.array_equal(decoded.picture.pixels, whole)
        assert decoded.warnings


@pytest.mark.parametrize("name", ["layered", "portable"])
def test_every_truncation_is_salvaged_as_far_as_it_goes(
    codec: Codec, small: dict[str, bytes], name: str
) -> None:
    data = small[name]
    chunks = container.inspect(data)
    hyper, ends = chunks[1], {chunk.offset + chunk.size for chunk in chunks}
    tasks = [entry.task for entry in container.parse(data).header.layers]
    expected = layer = None
    for length in range(len(data)):
        decode = partial(codec.decode, data[:length], partial=True)
        if length < hyper.offset + hyper.size:
            assert outcome(decode) == "FormatError"
            continue
        decoded = decode()
        pixels = decoded.picture.pixels
        if length in ends:
            here = container.parse(data[:length]).layers
            layer = tasks[max(here, default=0)]  # with no layer yet, the first one at its means
            expected = pixels  # until the next chunk is whole, nothing changes
        assert np.array_equal(pixels, expected)
        assert decoded.layer == layer
        assert decoded.warnings


def test_a_part_without_its_beginning_is_refused(codec: Codec, files: dict[str, bytes]) -> None:
    for name in ("layered", "simulcast"):
        data = files[name]
        for part in (container.split(data, ["cls"]), container.rest(data, ["cls"])):
            for call in entries(codec, part):
                outcome(call)
    part = container.split(files["simulcast"], ["det"])
    found = codec.symbols(part)
    expected = codec.symbols(files["simulcast"])
    assert list(found) == ["hyper 1", "layer 1 det"]
    assert all(torch.equal(found[name], expected[name]) for name in found)


def test_partial_decodes_a_task_layer_from_its_hyper_latent(
    codec: Codec, files: dict[str, bytes]
) -> None:
    data = files["tasks"]
    cut = data[: container.inspect(data)[-1].offset + 9]
    with pytest.raises(FormatError, match="with partial"):
        codec.decode(cut)
    decoded = codec.decode(cut, partial=True)
    assert decoded.layer == "det"
    assert len(decoded.warnings) >= 2


@pytest.mark.parametrize(
    ("judge", "count"), [(mutations.to_symbols, 400), (mutations.to_pixels, 40)]
)
def test_mutations_end_in_a_typed_error_or_in_what_is_intact(
    codec: Codec, files: dict[str, bytes], judge: Callable[..., str], count: int
) -> None:
    found = set()
    for number, name, data, seal in mutations.cases(files, 7, 0, count):
        try:
            found.add(judge(codec, files[name], data, seal))
        except BaseException as error:
            raise AssertionError(f"mutation {number} of {name}, {seal.name}: {error!r}") from error
    assert found >= {"done", "FormatError"}


def test_mutations_by_all_ways_into_a_file(codec: Codec, files: dict[str, bytes]) -> None:
    for number, _, data, seal in mutations.cases(files, 8, 0, 200):
        # All ways into the same file would take too long: each takes its turn.
        calls = entries(codec, data)
        with mutations.checks(seal):
            outcome(calls[number % len(calls)])


def test_forged_files_with_every_checksum_right_decode_or_are_refused(
    codec: Codec, files: dict[str, bytes]
) -> None:
    rng = np.random.default_rng(8)
    headers = {name: container.parse(data).header for name, data in files.items()}
    masks = {
        name: {n: part.mask for n, part in container.parse(data).layers.items() if part.mask}
        for name, data in files.items()
    }
    forgeries = 0
    for number, name in zip(range(60), itertools.cycle(files), strict=False):
        header = replace(headers[name], channels=3)
        group = replace(header.groups[-1], quality=int(rng.integers(2305)), skip=number % 65)
        header = replace(header, groups=(*header.groups[:-1], group))
        known = {
            n: mask if rng.integers(2) else bytes([int(rng.integers(2))]) + rng.bytes(60)
            for n, mask in masks[name].items()
        }
        data = forged(rng, header, known)
        if data is not None:
            forgeries += 1
            assert outcome(lambda data=data: codec.decode(data)) == "done"
            assert codec.verify(data, full=True) == []
    assert forgeries > 20


GROWTH = """
import resource, sys
from pathlib import Path
from icmhcodec.errors import FormatError
from icmhcodec.pipeline.codec import Codec
codec = Codec()
peaks = []
for path in sys.argv[1:]:
    try:
        codec.decode(Path(path).read_bytes())
    except FormatError as error:
        assert peaks, error
        print(error)
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
print(max(peaks) - peaks[0])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in kilobytes on Linux")
def test_giant_pictures_of_few_bytes_are_refused_before_memory_is_taken(
    codec: Codec, tmp_path: object
) -> None:
    small = codec.encode(photo(128, 192)).data
    file = container.parse(small)
    giant = replace(file.header, **GIANT)
    columns, rows = -(-giant.width // 64), -(-giant.height // 64)
    segments = -(-8 * columns * rows // 65536)
    empty = (2**32).to_bytes(8, "little")
    full = replace(giant, layers=(replace(giant.layers[0], symbols=12 * 16 * columns * rows),))
    attacks = [
        small,
        with_header(small, giant),
        with_header(small, replace(giant, width=2**20, height=170)),
        container.build(giant, {0: (empty,) * segments}, file.layers),
        container.build(
            full,
            {0: (empty,) * segments},
            {0: container.LayerData(b"", (empty,) * full.layers[0].segments)},
        ),
    ]
    paths = []
    for number, data in enumerate(attacks):
        paths.append(f"{tmp_path}/{number}.icm")
        with open(paths[-1], "wb") as target:  # noqa: PTH123
            target.write(data)
    run = subprocess.run(
        [sys.executable, "-c", GROWTH, *paths], capture_output=True, text=True, check=True
    )
    *errors, growth = run.stdout.splitlines()
    assert len(errors) == len(attacks) - 1
    assert int(growth) < 48 * 1024  # kilobytes; one plane of floats would be 700 MB


def _bomb(megabytes: int) -> bytes:
    packer = zlib.compressobj(9)
    zeros = bytes(1 << 20)
    return b"".join([*(packer.compress(zeros) for _ in range(megabytes)), packer.flush()])


def _with_chunk(data: bytes, type_: str, payload: bytes) -> bytes:
    return assembled(
        [replace(p, payload=payload) if p.type == type_.encode() else p for p in pieces(data)]
    )


def _with_mask(data: bytes, mask: bytes) -> bytes:
    file = container.parse(data)
    header = replace(file.header, channels=3)
    layers = {**file.layers, 0: replace(file.layers[0], mask=mask)}
    return container.build(header, file.hyper, layers)


def _raw_bomb(megabytes: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    zeros = bytes(1 << 20)
    return b"".join([*(packer.compress(zeros) for _ in range(megabytes)), packer.flush()])


def _renamed(data: bytes, name: bytes) -> bytes:
    """The file with another id of the same length for its first predictor."""
    first, *others = pieces(data)
    assert b"cls-7" in first.payload
    return assembled([replace(first, payload=first.payload.replace(b"cls-7", name, 1)), *others])


def _of_minor(data: bytes, minor: int) -> bytes:
    """The file with another minor version, and nothing else."""
    return data[:9] + bytes([minor]) + data[10:]


def _human_twice(data: bytes) -> bytes:
    return with_layer(data, 0, task="human", mask=MaskKind.FULL, mask_crc=0, level=0,
                      predictor=None, adapter=None)  # fmt: skip


def _unchecked(change: Callable[[], bytes]) -> bytes:
    """What comes of it where the writer takes any name for a valid one."""
    with mock.patch.object(structure, "valid_name", return_value=True):
        return change()


def _edited(data: bytes, chunk: int, at: int, new: bytes) -> bytes:
    """The file with other bytes for the one at a place of a chunk's payload."""
    parts = pieces(data)
    payload = parts[chunk].payload
    parts[chunk] = replace(parts[chunk], payload=payload[:at] + new + payload[at + 1 :])
    return assembled(parts)


def _placed(data: bytes, *places: int) -> bytes:
    """The file whose chunks after the header say that they stand at these places."""
    first, *others = pieces(data)
    renumbered = [replace(part, place=place) for part, place in zip(others, places, strict=False)]
    return assembled([first, *renumbered, *others[len(places) :]])


def _swapped_groups(data: bytes) -> bytes:
    """The first layer is of the second group, the second of the first."""
    header = container.parse(data).header
    a, b, *others = header.layers
    return with_header(
        data, replace(header, layers=(replace(a, group=1), replace(b, group=0), *others))
    )


def _endless_bypass(data: bytes) -> bytes:
    """The last layer is one escape of as many digits as its segment can have."""
    file = container.parse(data)
    last = len(file.layers) - 1
    words = 3 * file.header.layers[last].symbols // 2
    stream = (2**63 - 1).to_bytes(8, "little") + b"\xff" * (4 * words)
    layers = {**file.layers, last: replace(file.layers[last], segments=(stream,))}
    return container.build(file.header, file.hyper, layers, file.ancillary)


MOST = varint(2**32 - 1)
# Where a file of a picture below 128x128 with one group has its counts in the header.
GROUPS, LAYERS = 15, 32

GALLERY: dict[str, tuple[str, Callable[[bytes], bytes], str]] = {
    "bomb in the profile": ("layered", lambda d: _with_chunk(d, "iCCp", _bomb(80)), "iCCp"),
    "bomb in Exif": ("layered", lambda d: _with_chunk(d, "eXIf", _bomb(80)), "eXIf"),
    "no zlib in XMP": ("layered", lambda d: _with_chunk(d, "xMPp", b"<xmp/>"), "xMPp"),
    "alpha of another size": (
        "layered",
        lambda d: _with_chunk(d, "aLPh", alpha.encode(PIXELS[:-1, :, 3])),
        "alpha",
    ),
    "alpha that is none": ("layered", lambda d: _with_chunk(d, "aLPh", b"RIFF"), "alpha"),
    "bomb in a mask": ("portable", lambda d: _with_mask(d, b"\1" + _raw_bomb(20)), "mask"),
    "a mask of garbage": ("portable", lambda d: _with_mask(d, b"\0" + b"\xa5" * 300), "mask"),
    "a mask of nothing": ("portable", lambda d: _with_mask(d, b""), "mask"),
    "a mask of a million segments": ("portable", lambda d: _with_mask(d, bytes(1 << 22)), "mask"),
    "a path as id": ("layered", lambda d: _renamed(d, b"a/b-7"), "not a valid bundle name"),
    "two dots in an id": ("layered", lambda d: _renamed(d, b"a..b7"), "not a valid bundle name"),
    "a NUL in an id": ("layered", lambda d: _renamed(d, b"cls\0007"), "not a valid bundle name"),
    "a code of 1.1 in a file of 1.0": ("later", lambda d: _of_minor(d, 0), "bundle code 2 is not"),
    "a name of 1.1 spelled out": (
        "later",
        lambda d: _of_minor(of_version(d, (1, 0)), 1),
        "'det-1' is spelled out",
    ),
    "an unknown critical chunk": (
        "layered",
        lambda d: assembled(
            [p if p.type != b"iCCp" else replace(p, type=b"ICCp") for p in pieces(d)]
        ),
        "not known",
    ),
    "level 0": ("layered", lambda d: with_layer(d, 0, level=0), "level 0"),
    "level 200": ("layered", lambda d: with_layer(d, 0, level=200), "level 200"),
    "quality above 9": ("layered", lambda d: with_group(d, 0, quality=9 * 256 + 1), "above 9"),
    "skip 255": ("layered", lambda d: with_group(d, 0, skip=255), "skip index 255"),
    "the human layer twice": ("layered", _human_twice, "task has two layers"),
    "2^32 - 1 symbols": (
        "layered",
        lambda d: with_layer(d, 2, symbols=2**32 - 1),
        "more symbols",
    ),
    "2^32 - 1 groups": ("layered", lambda d: _edited(d, 0, GROUPS, MOST), "header"),
    "2^32 - 1 layers": ("layered", lambda d: _edited(d, 0, LAYERS, MOST), "header"),
    "2^32 - 1 ancillary chunks": (
        "layered",
        lambda d: with_header(d, replace(container.parse(d).header, ancillary=2**32 - 1)),
        "beyond the limit",
    ),
    "2^32 - 1 tiles": (
        "layered",
        lambda d: with_header(d, replace(container.parse(d).header, tiles=(2**16, 2**16 - 1))),
        "tiles",
    ),
    "2^32 - 1 segments": ("layered", lambda d: _edited(d, 1, 1, MOST), "4294967295 segments"),
    "a mask of 2^32 - 1 bytes": ("portable", lambda d: _edited(d, 2, 1, MOST), "mask is longer"),
    "a chunk of 2^32 - 1 bytes": (
        "layered",
        lambda d: assembled([*pieces(d)[:2], replace(pieces(d)[2], length=2**32 - 1)]),
        "truncated",
    ),
    "a number without end": (
        "layered",
        lambda d: _edited(d, 0, 8, b"\x80" * 60_000 + b"\1"),
        r"not in 0 to 2\^32 - 1",
    ),
    "endless bypass": ("layered", _endless_bypass, r"outside of \+-|checksum|cannot hold"),
    "chunks in a circle": ("layered", lambda d: _placed(d, 2, 3, 1), "where it cannot"),
    "all chunks at one place": ("layered", lambda d: _placed(d, 1, 1, 1), "where it cannot"),
    "a header in the middle": (
        "layered",
        lambda d: assembled([pieces(d)[0], replace(pieces(d)[0], place=1), *pieces(d)[1:]]),
        "knows no HEAD",
    ),
    "groups in a circle": ("simulcast", _swapped_groups, "not sorted"),
    "a group that is not there": (
        "layered",
        lambda d: with_layer(d, 2, group=9),
        "without its group",
    ),
    "a path as codec": (
        "layered",
        lambda d: _unchecked(lambda: with_group(d, 0, codec=Reference("../a/b", bytes(8)))),
        "not a valid codec name",
    ),
    "a path as task": (
        "layered",
        lambda d: _unchecked(lambda: with_layer(d, 0, task="/etc/x")),
        "not a valid task name",
    ),
    "a name of 255 letters": (
        "layered",
        lambda d: _unchecked(lambda: with_layer(d, 0, task="a" * 255)),
        "not a valid task name",
    ),
    "a codec that is a predictor's name": (
        "layered",
        lambda d: with_group(d, 0, codec=Reference("cls-7", bytes(8))),
        "not known here",
    ),
    "an unknown codec": (
        "layered",
        lambda d: with_group(d, 0, codec=Reference("nobody-1", bytes(8))),
        "not known here",
    ),
    "a codec that is not here": (
        "layered",
        lambda d: with_group(d, 0, codec=Reference("mbt2018-mean-q1", bytes(8))),
        "no net here",
    ),
}


@pytest.mark.parametrize("name", GALLERY)
def test_the_gallery(codec: Codec, files: dict[str, bytes], name: str) -> None:
    source, attack, message = GALLERY[name]
    data = attack(files[source])
    with pytest.raises(IcmhError, match=message):
        codec.decode(data, human=True)
    for call in entries(codec, data):
        outcome(call)


def test_a_group_of_another_codec_costs_that_group(codec: Codec, files: dict[str, bytes]) -> None:
    header = container.parse(Codec().encode(photo(32, 32)).data).header
    data = with_group(files["simulcast"], 1, codec=header.groups[0].codec)
    with pytest.raises(FormatError, match=r"hyper-latent|segment"):
        codec.decode(data, task="det")
    assert len(codec.verify(data, full=True)) == 1
    for layer in ("cls", "human"):
        expected = codec.decode(files["simulcast"], task=layer).picture.pixels
        assert np.array_equal(codec.decode(data, task=layer).picture.pixels, expected)


def test_files_of_all_versions_decode_alike(codec: Codec, files: dict[str, bytes]) -> None:
    data = files["later"]
    assert data[8:10] == b"\1\1"
    found = info(data)
    expected = codec.decode(data, task="det").picture.pixels
    for version in ((0, 1), (1, 0), (1, 2)):
        other = of_version(data, version)
        assert (len(other) > len(data)) == (version < (1, 1))
        same = info(other)
        assert same["version"] == f"{version[0]}.{version[1]}"
        for kind in ("predictor", "adapter"):
            assert same["layers"][0][kind] == found["layers"][0][kind]
        assert np.array_equal(codec.decode(other, task="det").picture.pixels, expected)
        cut = codec.decode(other[:-1], partial=True)
        assert np.array_equal(cut.picture.pixels, expected)


def test_damaged_extras_do_not_cost_the_picture(codec: Codec, files: dict[str, bytes]) -> None:
    data = files["layered"]
    expected = codec.decode(data).picture.pixels
    for type_ in ("iCCp", "eXIf", "xMPp", "aLPh"):
        broken = _with_chunk(data, type_, b"broken")
        with pytest.raises(FormatError):
            codec.decode(broken)
        decoded = codec.decode(broken, partial=True)
        assert np.array_equal(decoded.picture.pixels, expected)
        assert len(decoded.warnings) == 1
        assert codec.verify(broken, full=True)


def test_pillow_refuses_a_file_with_broken_metadata(files: dict[str, bytes]) -> None:
    broken = _with_chunk(files["layered"], "iCCp", b"broken")
    with pytest.raises(UnidentifiedImageError):
        Image.open(io.BytesIO(broken))


def test_a_predictor_of_another_base_is_an_error(
    codec: Codec, files: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    model = _wide("predictor")
    path = tmp_path_factory.mktemp("wide") / "model.safetensors"
    modelfile.write(path, model)
    reference = bundles.add(path)
    data = with_layer(files["layered"], 0, predictor=reference)
    with pytest.raises(FormatError, match="channels"):
        codec.decode(data)


def test_an_adapter_of_another_base_is_a_warning(
    codec: Codec, files: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("wide") / "model.safetensors"
    modelfile.write(path, _wide("adapter"))
    reference = bundles.add(path)
    data = with_layer(files["layered"], 0, adapter=reference)
    decoded = codec.decode(data, task="cls")
    assert "channels" in decoded.warnings[0]
    without = codec.decode(with_layer(files["layered"], 0, adapter=None), task="cls")
    assert np.array_equal(decoded.picture.pixels, without.picture.pixels)
    assert outcome(lambda: codec.decode(data)) == "done"


def _wide(kind: str) -> modelfile.ModelFile:
    """A predictor or adapter for another number of channels than the codec has."""
    from icmhcodec.adapters.kinds import export_stages, stage_adapters
    from icmhcodec.masks.light import LightNet

    plain = next(model for model in random_bundle("cls", 0) if model.kind == kind)
    tensors = (
        LightNet(20, width=8).export()
        if kind == "predictor"
        else export_stages({"decoder": stage_adapters((16, 16, 16), 4)})
    )
    return modelfile.ModelFile({**plain.metadata, "id": f"wide-{kind}-1"}, tensors)


def test_the_api_gives_the_same_errors(files: dict[str, bytes]) -> None:
    for data in (b"", b"\x89PNG", files["layered"][:-1], varint(5)):
        with pytest.raises(FormatError):
            api.decode(data)
        with pytest.raises(FormatError):
            api.info(data)
