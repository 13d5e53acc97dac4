"""What the coverage-guided runs call with any bytes: it returns, or an error of icmh's is raised.

The first byte of an input says whether the checksums of the rest are made right first.
"""

from __future__ import annotations

from collections.abc import Callable

from icmhcodec import container
from icmhcodec.container.header import version_to_write
from icmhcodec.container.limits import Limits
from icmhcodec.errors import IcmhError
from icmhcodec.pipeline.codec import Codec
from tests.attacks.forgery import sealed
from tests.attacks.mutations import trusting

PIXELS = 1 << 18  # of a picture: more takes long without being anything else

Target = Callable[[bytes], None]


def parser(data: bytes) -> None:
    """The container: what is read is written again as the same bytes, cut and joined likewise."""
    data = _input(data)
    for partial in (False, True):
        try:
            file = container.parse(data, partial=partial)
            container.inspect(data, partial=partial)
        except IcmhError:
            continue
        if file.damage:
            continue
        header = file.header
        # A reader takes any minor version, a writer writes the lowest that has all codes.
        if not file.missing and (data[8], data[9]) == version_to_write(header):
            built = container.build(header, file.hyper, file.layers, file.ancillary)
            assert built == data, "read and written again, a file is another"
        for layer in header.layers:
            try:
                parts = [cut(data, [layer.task]) for cut in (container.split, container.rest)]
            except IcmhError:  # this part has no such layer
                continue
            assert container.join(parts) == data, "cut and joined, a file is another"


def decoder(codec: Codec) -> Target:
    """The decoder of layers, down to symbols, with every checksum of symbols and masks right."""

    def decode(data: bytes) -> None:
        data = _input(data)
        try:
            container.read_header(data, Limits(pixels=PIXELS))
            with trusting():
                codec.verify(data, full=True)
                codec.symbols(data)
        except IcmhError:
            pass

    return decode


def _input(data: bytes) -> bytes:
    return sealed(data[1:]) if data[:1] > b"\x7f" else data[1:]
