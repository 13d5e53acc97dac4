from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from icmhcodec import container, modelfile
from icmhcodec.adapters import bundles
from icmhcodec.container import MaskKind
from icmhcodec.errors import FormatError, IcmhError, MissingWeightsError, UsageError
from icmhcodec.imageio import Picture
from icmhcodec.pipeline.codec import Codec
from tests.pipeline.conftest import BASE, photo, random_bundle

PICTURE = photo(96, 150)


def test_the_human_picture_does_not_depend_on_the_layers(codec: Codec) -> None:
    plain = codec.encode(PICTURE, quality=5).data
    layered = codec.encode(PICTURE, quality=5, tasks=["cls:1", "det:2", "seg:4"]).data
    human = codec.decode(layered)
    assert human.layer == "human"
    assert human.warnings == ()
    assert np.array_equal(human.picture.pixels, codec.decode(plain).picture.pixels)
    counts = [
        sum(layer.symbols for layer in container.parse(d).header.layers) for d in (plain, layered)
    ]
    assert counts[0] == counts[1] > 0
    assert len(container.parse(layered).header.layers) == 4


def test_every_task_layer_is_a_prefix_and_joins_again(codec: Codec) -> None:
    data = codec.encode(PICTURE, tasks=["cls", "det"]).data
    for task in ("cls", "det"):
        part, rest = container.split(data, [task]), container.rest(data, [task])
        assert data.startswith(part)
        assert len(part) < len(data)
        assert container.join([rest, part]) == data
        whole = codec.decode(data, task=task).picture.pixels
        assert np.array_equal(codec.decode(part, task=task).picture.pixels, whole)
        decoded = codec.decode(part)
        assert decoded.layer == task
        assert "human" in decoded.warnings[0]


def test_a_file_without_tasks_needs_no_predictor(
    codec: Codec, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = codec.encode(PICTURE).data
    monkeypatch.setattr(bundles, "by_reference", None)
    assert codec.decode(data).layer == "human"


def test_a_portable_file_needs_no_predictor_and_decodes_the_same(
    codec: Codec, monkeypatch: pytest.MonkeyPatch
) -> None:
    derived = codec.encode(PICTURE, tasks=["det"]).data
    portable = codec.encode(PICTURE, tasks=["det"], portable=True).data
    layer = container.parse(portable).header.layers[0]
    assert layer.mask is MaskKind.EXPLICIT
    assert layer.predictor is None
    expected = dict(codec.symbols(derived).items())
    monkeypatch.setattr("icmhcodec.pipeline.latent.predicted", None)
    found = codec.symbols(portable)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[k], expected[k]) for k in found)


@pytest.mark.parametrize("size", [(1, 1), (1, 200), (16, 17), (63, 64), (65, 65), (130, 2)])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_any_size_and_number_of_channels(
    codec: Codec, size: tuple[int, int], channels: int
) -> None:
    image = photo(*size, channels)
    data = codec.encode(image, tasks=["det"], quality=9).data
    picture = codec.decode(data).picture
    assert picture.pixels.shape == (*size, channels - (channels % 2 == 0))
    if channels % 2 == 0:
        assert picture.alpha is not None
        assert np.array_equal(picture.alpha, image[:, :, -1])


def test_padding_is_not_coded(codec: Codec) -> None:
    header = container.parse(codec.encode(photo(65, 65), skip=0).data).header
    assert header.layers[0].symbols == 12 * 5 * 5


def test_metadata_is_kept_and_stripped(codec: Codec) -> None:
    picture = Picture(PICTURE, icc=b"profile", exif=b"II*\0exif", xmp=b"<xmp/>")
    decoded = codec.decode(codec.encode(picture, tasks=["det"]).data).picture
    assert (decoded.icc, decoded.exif, decoded.xmp) == (b"profile", b"II*\0exif", b"<xmp/>")
    stripped = codec.decode(codec.encode(picture, strip=True).data).picture
    assert (stripped.icc, stripped.exif, stripped.xmp) == (b"profile", None, None)
    part = container.split(codec.encode(picture, tasks=["det"]).data, ["det"])
    assert b"profile" not in part
    assert b"exif" not in part


def test_the_same_input_gives_the_same_file(codec: Codec) -> None:
    files = {codec.encode(PICTURE, tasks=["det"]).data for _ in range(2)}
    files.add(Codec(BASE).encode(Image.fromarray(PICTURE), tasks=["det"]).data)
    files.add(codec.encode(torch.from_numpy(PICTURE).permute(2, 0, 1) / 255, tasks=["det"]).data)
    assert len(files) == 1


def test_a_target_size_is_never_exceeded(codec: Codec) -> None:
    sizes = [len(codec.encode(PICTURE, quality=q).data) for q in (0, 9)]
    for target in (sizes[0], (sizes[0] + sizes[1]) // 2, sizes[1] + 10_000):
        encoded = codec.encode(PICTURE, size=target)
        assert encoded.met
        assert len(encoded.data) <= target
        finer = codec.encode(PICTURE, quality=min(9, encoded.quality + 0.25))
        assert encoded.quality == 9 or len(finer.data) > target
    tiny = codec.encode(PICTURE, size=50)
    assert not tiny.met
    assert tiny.quality == 0
    by_bpp = codec.encode(PICTURE, bpp=8 * sizes[1] / PICTURE[:, :, 0].size + 0.001)
    assert len(by_bpp.data) <= sizes[1] + 2


def test_a_task_size_lowers_the_level_and_then_the_quality(codec: Codec) -> None:
    def part(data: bytes) -> int:
        return len(container.split(data, ["det"]))

    levels = [part(codec.encode(PICTURE, tasks=[f"det:{n}"], quality=6).data) for n in (1, 2, 3, 4)]
    assert levels == sorted(levels)
    assert levels[0] < levels[-1]
    encoded = codec.encode(PICTURE, tasks=["det:4"], quality=6, task_size=levels[1])
    assert encoded.met
    assert encoded.quality == 6
    assert part(encoded.data) <= levels[1]
    smaller = codec.encode(PICTURE, tasks=["det:4"], quality=6, task_size=levels[0] - 20)
    assert smaller.met
    assert smaller.quality < 6
    assert part(smaller.data) <= levels[0] - 20
    assert not codec.encode(PICTURE, tasks=["det"], task_size=20).met


def test_a_mask_of_pixels_is_an_explicit_layer(codec: Codec) -> None:
    mask = np.zeros(PICTURE.shape[:2], bool)
    mask[20:40, 50:90] = True
    encoded = codec.encode(PICTURE, tasks=["det"], masks={"det": mask}, skip=0)
    layer = container.parse(encoded.data).header.layers[0]
    assert layer.mask is MaskKind.EXPLICIT
    assert layer.symbols == 12 * 2 * 3
    empty = codec.encode(PICTURE, tasks=["det"], masks={"det": mask & False})
    assert container.parse(empty.data).header.layers[0].mask is MaskKind.EMPTY
    assert codec.decode(empty.data, task="det").layer == "det"
    with pytest.raises(UsageError, match="the mask has 150x95 pixels, the picture 150x96"):
        codec.encode(PICTURE, tasks=["det"], masks={"det": mask[1:]})


def test_the_machine_profile_gives_each_task_its_own_latent(codec: Codec, models: Path) -> None:
    with pytest.raises(MissingWeightsError, match="machine"):
        codec.encode(PICTURE, tasks=["det"], profile="machine")
    for seed, task in enumerate(("det", "cls")):
        path = models / "machine.safetensors"
        modelfile.write(path, random_bundle(task, seed, "machine")[0])
        bundles.add(path)
    data = codec.encode(PICTURE, tasks=["det", "cls"], profile="machine", with_human=True).data
    header = container.parse(data).header
    assert [layer.task for layer in header.layers] == ["det", "cls", "human"]
    assert [layer.group for layer in header.layers] == [0, 1, 2]
    plain = codec.decode(codec.encode(PICTURE).data).picture.pixels
    assert np.array_equal(codec.decode(data).picture.pixels, plain)
    part = container.split(data, ["cls"])
    assert codec.decode(part).layer == "cls"
    assert not np.array_equal(
        codec.decode(part).picture.pixels, codec.decode(data, task="det").picture.pixels
    )
    without = codec.encode(PICTURE, tasks=["det"], profile="machine").data
    assert [layer.task for layer in container.parse(without).header.layers] == ["det"]


def test_a_missing_adapter_is_a_warning_and_a_missing_predictor_an_error(
    codec: Codec, models: Path
) -> None:
    data = codec.encode(PICTURE, tasks=["det"]).data
    for path in bundles.user_folder().glob("adapter-*"):
        path.unlink()
    decoded = Codec(BASE).decode(data, task="det")
    assert "adapter det-7" in decoded.warnings[0]
    for path in bundles.user_folder().glob("predictor-*"):
        path.unlink()
    from icmhcodec.pipeline import latent

    latent._predictor.cache_clear()
    with pytest.raises(MissingWeightsError, match=r"predictor det-7 .*'icmh models add"):
        Codec(BASE).decode(data)


def test_a_cut_file_decodes_partially(codec: Codec) -> None:
    data = codec.encode(PICTURE, tasks=["det"]).data
    info = container.inspect(data)
    cut = data[: info[-1].offset + 30]
    with pytest.raises(FormatError):
        codec.decode(cut)
    decoded = codec.decode(cut, partial=True)
    assert decoded.layer == "det"
    assert decoded.warnings
    human = codec.decode(cut, human=True, partial=True)
    assert human.layer == "human"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"quality": 9.5}, "quality"),
        ({"tasks": ["det:9"]}, "level"),
        ({"tasks": ["det", "det:2"]}, "once"),
        ({"tasks": ["human"]}, "once"),
        ({"bpp": 1.0, "size": 9}, "not both"),
        ({"size": 0}, "byte"),
        ({"bpp": float("nan")}, "finite"),
        ({"bpp": float("inf")}, "finite"),
        ({"bpp": 1e308}, "finite"),
        ({"tasks": ["Bad/x"], "masks": {"Bad/x": np.ones(PICTURE.shape[:2])}}, "a name is"),
        ({"tasks": [""]}, "a name is"),
        ({"tasks": ["det", "cls", "det-7"]}, "'det' and 'det-7' are one task"),
        ({"tasks": ["det"], "masks": {"det": "x"}}, "array of numbers"),
        ({"tasks": ["det"], "masks": {"det": [[1], [1, 2]]}}, "a mask"),
        ({"with_human": False}, "task"),
        ({"task_size": 9}, "task"),
        ({"profile": "best"}, "profile"),
        ({"skip": 65}, "skip"),
        ({"masks": {"det": None}}, "mask"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    codec: Codec, options: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        codec.encode(PICTURE, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("crop", "message"),
    [((0.5, 0, 2, 2), "whole numbers"), ((0, 0, 2), "whole numbers"), ((), "whole numbers"),
     (5, "whole numbers"), ((0, 0, 0, 2), "does not lie"), ((140, 0, 11, 1), "does not lie")],
)  # fmt: skip
def test_crops_that_make_no_sense_are_refused(codec: Codec, crop: object, message: str) -> None:
    data = codec.encode(PICTURE).data
    with pytest.raises(UsageError, match=message):
        codec.decode(data, crop=crop)  # type: ignore[arg-type]


def test_missing_layers_and_bundles_are_named(codec: Codec) -> None:
    data = codec.encode(PICTURE, tasks=["det"]).data
    with pytest.raises(UsageError, match="it has det, human"):
        codec.decode(data, task="seg")
    with pytest.raises(FormatError, match="which has det"):
        codec.decode(container.split(data, ["det"]), human=True)
    with pytest.raises(MissingWeightsError, match="no scalable bundle"):
        codec.encode(PICTURE, tasks=["pose"])


def test_damage_is_found(codec: Codec) -> None:
    data = codec.encode(PICTURE, tasks=["det"]).data
    assert codec.verify(data, full=True) == []
    broken = bytearray(data)
    broken[-100] ^= 1
    assert codec.verify(bytes(broken))
    with pytest.raises(IcmhError):
        codec.decode(bytes(broken))


def test_devices_and_precisions_that_are_not_here_are_refused() -> None:
    with pytest.raises(UsageError, match="device"):
        Codec(BASE, device="nowhere")
    with pytest.raises(UsageError, match="precision"):
        Codec(BASE, precision="float8")
    with pytest.raises(UsageError, match="threads"):
        Codec(BASE, threads=0)


def test_a_quality_and_a_size_exclude_each_other(codec: Codec) -> None:
    for goal in ({"bpp": 1.0}, {"size": 900}):
        with pytest.raises(UsageError, match="a quality or a target for the size, not both"):
            codec.encode(photo(32, 32), quality=4, **goal)


def test_one_task_needs_no_list(codec: Codec) -> None:
    assert codec.encode(photo(32, 32), tasks="det:3") == codec.encode(
        photo(32, 32), tasks=["det:3"]
    )


def test_tensors_of_another_range_are_refused(codec: Codec) -> None:
    x = torch.rand(3, 16, 16)
    assert codec.encode(x * 1.02 - 0.01).data
    for wrong in (255 * x, x - 3, x * float("inf")):
        with pytest.raises(UsageError, match=r"far outside of \[0,1\]|has NaN"):
            codec.encode(wrong)
