import subprocess
import sys

from hypothesis import given, settings

from icmhcodec.container import inspect, overhead, split
from tests.container.samples import MACHINE, SCALABLE, Parts, files


@given(files())
@settings(max_examples=30, deadline=None)
def test_sizes_add_up_to_the_file(parts: Parts) -> None:
    data = parts.build()
    infos = inspect(data)
    assert 10 + sum(info.size for info in infos) == len(data)
    for info in infos:
        assert data[info.offset :].startswith(info.type.encode())
        assert info.size >= info.payload + 10
    assert [info.place for info in infos] == list(range(len(infos)))
    segments = [part for group in parts.hyper.values() for part in group]
    for layer in parts.layers.values():
        for part in (layer, *layer.tiles):
            segments += [part.mask, *part.segments]
    coded = sum(len(segment) for segment in segments)
    metadata = sum(info.size for info in infos if info.type[0].islower())
    assert overhead(data) == len(data) - coded - metadata


def test_meanings() -> None:
    infos = inspect(SCALABLE.build())
    assert [info.meaning for info in infos] == [
        "header",
        "hyper 0",
        "layer 0 det",
        "icc",
        "exif",
        "alpha",
        "layer 1 human",
    ]
    assert [(info.group, info.layer) for info in inspect(MACHINE.build())] == [
        (None, None),
        (0, None),
        (0, 0),
        (1, None),
        (1, 1),
        (None, None),
    ]


def test_parts_and_damage() -> None:
    blob = SCALABLE.build()
    assert [info.place for info in inspect(split(blob, ["det"]))] == [0, 1, 2]
    assert len(inspect(blob[:-1], partial=True)) == len(inspect(blob)) - 1


def test_the_container_loads_no_torch() -> None:
    code = "import sys, icmhcodec.container; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
