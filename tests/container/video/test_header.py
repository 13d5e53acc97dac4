from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given, settings

from icmhcodec.container import DEFAULT_LIMITS, HUMAN, Limits, MaskKind
from icmhcodec.container.structure import SEQUENCE_VERSION
from icmhcodec.container.video import AudioStream, Choice, Header, Latent, Layer
from icmhcodec.container.video.header import check_header, pack_header, unpack_header
from icmhcodec.errors import FormatError
from tests.container.video.samples import AUDIO, CODEC, DERIVED, DET, DVC, FULL, header, headers

HEADER = header()
PAYLOAD = pack_header(HEADER)


@given(headers())
@settings(max_examples=80, deadline=None)
def test_round_trip(given_: Header) -> None:
    payload = pack_header(given_)
    assert unpack_header(payload, SEQUENCE_VERSION, DEFAULT_LIMITS) == given_
    assert pack_header(unpack_header(payload, SEQUENCE_VERSION, DEFAULT_LIMITS)) == payload


def test_names_are_codes_of_version_1_1() -> None:
    codecs = {"intra": replace(CODEC, id="mbt2018-mean-gain-1"), "inter": replace(DVC, id="dvc-1")}
    payload = pack_header(replace(HEADER, **codecs))
    # A spelled name is its length and itself longer than a code.
    assert len(PAYLOAD) - len(payload) == 1 + len(DVC.id)
    assert b"\5" + CODEC.fingerprint + b"\6" + DVC.fingerprint in payload


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 0}, "empty"),
        ({"width": 1 << 21}, "beyond the limit"),
        ({"width": 20_000, "height": 20_000}, "beyond the limit"),
        ({"width": 8192, "height": 4097}, "beyond the limit"),
        ({"channels": 4}, "4 channels are not known"),
        ({"depth": 16}, "16 bits is not known"),
        ({"turns": 4}, "quarter turns"),
        ({"aspect": Fraction(0)}, "without a shape"),
        ({"time_base": Fraction(0)}, "time base of nothing"),
        ({"time_base": Fraction(1, 1 << 31)}, "1/2147483648 has a number of 2\\^31 or more"),
        ({"aspect": Fraction(1 << 31)}, "2147483648 has a number"),
        ({"rate": Fraction(1 << 31, 3)}, "2147483648/3 has a number"),
        ({"gop": 0}, "groups without a frame"),
        ({"latents": HEADER.latents[:2]}, "2 latents"),
        ({"inter": None}, "not their latents"),
        ({"latents": HEADER.latents[:1]}, "not their latents"),
        ({"latents": (Latent(0, 1, 0), *HEADER.latents[1:])}, "0 channels"),
        ({"latents": (Latent(1, 1025, 0), *HEADER.latents[1:])}, "more than 1024"),
        ({"latents": (Latent(1, 1, 2305), *HEADER.latents[1:])}, "above 9"),
        ({"latents": (Latent(1, 1, 0, 65), *HEADER.latents[1:])}, "above 64"),
        ({"layers": ()}, "0 layers"),
        ({"layers": HEADER.layers[::-1]}, "not the last"),
        ({"layers": (HEADER.layers[0],) * 2}, "two layers"),
        ({"layers": (Layer("det", (replace(DERIVED, predictor=None),) * 3),)}, "a predictor"),
        ({"layers": (Layer(HUMAN, (replace(FULL, adapter=DET),) * 3),)}, "without adapters"),
        ({"layers": (Layer(HUMAN, (Choice(0, MaskKind.EMPTY),) * 3),)}, "masks are full"),
        ({"audio": (AUDIO,) * 17}, "more than 16"),
        ({"audio": (AudioStream("a b", 0, "mono", Fraction(1)),)}, "without a rate"),
        ({"audio": (AudioStream("a", 1 << 31, "mono", Fraction(1)),)}, "2147483648 samples"),
        ({"audio": (AudioStream("a", 1, "mono", Fraction(1 << 31)),)}, "2147483648 has a"),
    ],
)
def test_headers_that_are_refused(changes: dict[str, object], message: str) -> None:
    wrong = replace(HEADER, **changes)  # type: ignore[arg-type]
    with pytest.raises(FormatError, match=message):
        check_header(wrong, DEFAULT_LIMITS)


@pytest.mark.parametrize(
    ("at", "value", "message"),
    [
        (15, b"\x02\x02", "lowest terms"),
        (20, b"\x02", "colour range 2"),
        (21, b"\x01\x00", "lowest"),
    ],
)
def test_bytes_that_are_refused(at: int, value: bytes, message: str) -> None:
    payload = PAYLOAD[:at] + value + PAYLOAD[at + len(value) :]
    with pytest.raises(FormatError, match=message):
        unpack_header(payload, SEQUENCE_VERSION, DEFAULT_LIMITS)


def test_every_truncation() -> None:
    for length in range(len(PAYLOAD)):
        with pytest.raises(FormatError, match="too early"):
            unpack_header(PAYLOAD[:length], SEQUENCE_VERSION, DEFAULT_LIMITS)
    with pytest.raises(FormatError, match="follow"):
        unpack_header(PAYLOAD + b"\0", SEQUENCE_VERSION, DEFAULT_LIMITS)


def test_limits_of_the_caller() -> None:
    with pytest.raises(FormatError, match="not 1 to 1"):
        unpack_header(PAYLOAD, SEQUENCE_VERSION, Limits(layers=1))


def test_what_follows_from_a_header() -> None:
    assert HEADER.elements(1) == 128 * 16 * 9
    assert HEADER.hyper_segments(0) == 1
    assert replace(HEADER, width=4096, height=2160).hyper_segments(0) == 5
    assert HEADER.layer_of("det") == 0
    assert HEADER.layer_of("cls") is None
    assert HEADER.has_human
    assert HEADER.most_bytes == 1024 + 8 * (512 * 16 * 9 + 3 * 128 * 4 * 3)
    assert (HEADER.intra, HEADER.inter) == (CODEC, DVC)


def test_frames_of_8k_are_within_the_limits() -> None:
    check_header(replace(HEADER, width=7680, height=4320), DEFAULT_LIMITS)
