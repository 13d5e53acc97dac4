from __future__ import annotations

import pytest

from icmhcodec.bench import codecs
from icmhcodec.bench.codecs import plain
from icmhcodec.bench.contract import HUMAN, Resources, curve_name
from icmhcodec.errors import UsageError
from tests.bench.codecs.conftest import psnr

LIBRARIES = ("jpeg", "webp", "avif", "jxl", "heic")


def made(spec, **options):
    """The codecs of a spec; the test is passed over where a library is not here."""
    reason = codecs.absence(spec.partition("@")[0])
    if reason is not None:
        pytest.skip(reason)
    return codecs.create(spec, **options)


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_better_point_is_a_larger_file_and_a_better_picture(name, pixels):
    (codec,) = made(name)
    files = [codec.encode(pixels, point) for point in (codec.points[0], codec.points[-1])]
    pictures = [codec.decode(codec.cut(data, HUMAN), HUMAN) for data in files]
    assert curve_name(codec, HUMAN) == f"{name}/plain/human"
    assert len(files[0]) < len(files[1])
    assert all(p.pixels.shape == pixels.shape and not p.shrunk for p in pictures)
    assert 15 < psnr(pictures[0].pixels, pixels) < psnr(pictures[1].pixels, pixels)


@pytest.mark.parametrize("name", LIBRARIES)
def test_threads_change_no_bytes(name, pixels):
    pixels = pixels.repeat(4, 0).repeat(4, 1)  # enough for several threads
    ((one,), (two,)) = (made(name, resources=Resources(threads)) for threads in (1, 2))
    assert one.encode(pixels, one.points[3]) == two.encode(pixels, two.points[3])
    assert one.identity() == two.identity()


@pytest.mark.parametrize("name", LIBRARIES)
def test_the_identity_is_of_the_settings_and_versions(name):
    (codec,) = made(name)
    identity = codec.identity()
    assert len(identity) >= 3
    assert all(isinstance(value, str) and value for value in identity.values())
    assert identity["settings"]


@pytest.mark.parametrize("name", LIBRARIES)
def test_points_rise_and_are_enough_for_a_curve(name):
    (codec,) = made(name)
    assert list(codec.points) == sorted(set(codec.points))
    assert 5 <= len(codec.points) <= 8


def test_a_point_that_is_no_whole_number_is_refused(pixels):
    with pytest.raises(UsageError, match=r"jpeg: .* whole numbers, not 12\.5"):
        codecs.create("jpeg")[0].encode(pixels, 12.5)


def test_an_absent_library_names_what_to_install():
    with pytest.raises(UsageError, match=r"needs the package some-plugin; pip install") as caught:
        plain.require("no_such_module", "jxl", "some-plugin")
    assert "\n" not in str(caught.value)


def test_what_is_available_can_be_created():
    assert set(codecs.available()) <= set(codecs.names())
    assert {"icmh", "jpeg", "webp"} <= set(codecs.available())
    for name in set(codecs.names()) - set(codecs.available()):
        assert name in codecs.absence(name)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("png", "not known"),
        ("", "not known"),
        ("jpeg:90", "takes no options"),
        ("jpeg@big", "size in pixels"),
        ("jpeg@0", "size in pixels"),
        ("jpeg@net", "any size"),
        ("simulcast:jpeg", "give two"),
        ("simulcast:jpeg+", "give two"),
        ("simulcast:jpeg+webp", "not for machines alone"),
        ("simulcast:jpeg@64+webp@64", "no plain file for people"),
        ("icmh:scalable:machine", "profile and level"),
    ],
)
def test_specs_that_cannot_be_used(spec, message):
    with pytest.raises(UsageError, match=message) as caught:
        codecs.create(spec, tasks=["det"], side=0)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("spec", ["jpeg@64", "simulcast:jpeg@64+jpeg"])
def test_what_is_for_a_network_needs_a_task(spec):
    with pytest.raises(UsageError, match="give a task"):
        codecs.create(spec)
