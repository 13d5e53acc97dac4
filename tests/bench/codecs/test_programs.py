from __future__ import annotations

import sys

import numpy as np
import pytest

from icmhcodec.bench import codecs
from icmhcodec.bench.codecs import programs, vvc
from icmhcodec.bench.contract import Resources
from icmhcodec.errors import IcmhError, UsageError
from tests.bench.codecs.conftest import psnr

# Stand-ins that take the options of the real programs and keep pictures as they are.
PROGRAMS = {
    "bpgenc": """
assert given("-f") == "444" and given("-b") == "8"
write(given("-o"), given("-q").encode() + b" " + read(argv[-1]))
""",
    "bpgdec": """
write(given("-o"), read(argv[-1]).partition(b" ")[2])
""",
    "vvencapp": """
assert given("--format") == "yuv420_10" and given("--frames") == "1" and given("--qpa") == "0"
assert given("-t") == "3"
write(given("--output"), f"{given('-s')} {given('-q')}\\n".encode() + read(given("-i")))
""",
    "vvencFFapp": """
assert "--InputBitDepth=10" in argv and "--PerceptQPA=0" in argv
write(given("-b"), f"{given('-s')} {given('-q')}\\n".encode() + read(given("-i")))
""",
    "vvdecapp": """
head, _, frame = read(given("-b")).partition(b"\\n")
width, height = head.split()[0].split(b"x")
header = b"YUV4MPEG2 W%b H%b F1:1 Ip C420p10\\nFRAME\\n" % (width, height)
write(given("-o"), header + frame)
""",
}
SCRIPT = """#!{python}
import sys
from pathlib import Path
argv = sys.argv
def given(name):
    return argv[argv.index(name) + 1]
def read(path):
    return Path(path).read_bytes()
def write(path, data):
    Path(path).write_bytes(data)
"""


@pytest.fixture
def install(monkeypatch, tmp_path):
    """Puts stand-ins on an otherwise empty PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))

    def put(*names, **bodies):
        for name in names:
            bodies[name] = PROGRAMS[name]
        for name, body in bodies.items():
            path = tmp_path / name
            path.write_text(SCRIPT.format(python=sys.executable) + body)
            path.chmod(0o755)

    return put


def test_bpg_goes_through_png_files(install, pixels):
    install("bpgenc", "bpgdec")
    (codec,) = codecs.create("bpg")
    data = codec.encode(pixels, codec.points[0])
    assert data.startswith(b"47 ")  # QP: 51 less the point
    np.testing.assert_array_equal(codec.decode(data, "human").pixels, pixels)
    assert codec.identity()["encoder"].startswith("bpgenc ")


@pytest.mark.parametrize("encoder", ["vvencapp", "vvencFFapp"])
def test_vvc_goes_through_yuv_files(install, pixels, encoder):
    install(encoder, "vvdecapp")
    (codec,) = codecs.create("vvc", resources=Resources(3))
    data = codec.encode(pixels, codec.points[0])
    assert data[1:].startswith(b"76x52 47\n")  # even sides; QP: 63 less the point
    decoded = codec.decode(data, "human").pixels
    assert decoded.shape == pixels.shape
    assert psnr(decoded, pixels) > 33  # what is lost is lost by 4:2:0
    assert codec.identity()["encoder"].startswith(f"{encoder} ")


def test_colours_come_back(tmp_path):
    colours = np.repeat(np.repeat(np.arange(0, 256, 51, dtype=np.uint8), 4)[None], 8, 0)
    pixels = np.stack([colours, colours[:, ::-1], colours // 2], 2)
    planes = vvc.to_yuv(pixels)
    height, width = pixels.shape[:2]
    header = f"YUV4MPEG2 W{width} H{height} F1:1 Ip C420p10\nFRAME\n".encode()
    path = tmp_path / "x.y4m"
    path.write_bytes(header + planes.tobytes())
    centres = (slice(2, -2), slice(1, None, 4))
    difference = vvc.from_y4m(path).astype(int) - pixels
    assert abs(difference[centres].mean()) < 1
    assert planes.shape == (height * 3 // 2, width)


@pytest.mark.parametrize(
    ("name", "there"), [("bpg", []), ("bpg", ["bpgenc"]), ("vvc", []), ("vvc", ["vvencapp"])]
)
def test_an_absent_program_is_named(install, name, there):
    install(*there)
    with pytest.raises(UsageError, match="is not on the PATH") as caught:
        codecs.create(name)
    assert "\n" not in str(caught.value)


def test_a_program_that_fails_says_what_it_said(install, pixels):
    failing = "print('usage'); print('no such option', file=sys.stderr); sys.exit(3)"
    install("bpgdec", bpgenc=failing)
    with pytest.raises(IcmhError, match="bpgenc: failed with status 3: no such option"):
        codecs.create("bpg")[0].encode(pixels, 20.0)


def test_a_program_that_writes_nothing_is_an_error(install, pixels):
    install("bpgdec", bpgenc="pass")
    with pytest.raises(IcmhError, match="bpgenc: wrote no"):
        codecs.create("bpg")[0].encode(pixels, 20.0)


def test_another_program_is_another_fingerprint(tmp_path):
    path = tmp_path / "tool"
    path.write_bytes(b"one")
    first = programs.fingerprint(str(path))
    path.write_bytes(b"two")
    assert programs.fingerprint(str(path)) != first
