"""Pillow reads and writes .icm once this module is imported.

```python
import icmhcodec.pillow_plugin
Image.open("photo.icm").show()
Image.open("photo.jpg").save("photo.icm", quality=4, tasks=["det"])
```
"""

from __future__ import annotations

import io
from dataclasses import replace
from functools import lru_cache
from typing import IO, TYPE_CHECKING, Any

from PIL import Image, ImageFile

from icmhcodec import container, imageio
from icmhcodec.errors import IcmhError

if TYPE_CHECKING:
    from icmhcodec.pipeline.codec import Codec

FORMAT = "ICM"
MIME = "image/x-icm"
EXTENSION = ".icm"
OPTIONS = ("tasks", "quality", "bpp", "size", "task_size", "profile", "with_human", "portable",
           "skip", "strip", "masks", "effort", "tile")  # fmt: skip
_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
_METADATA = {"iCCp": "icc_profile", "eXIf": "exif", "xMPp": "xmp"}


class IcmImageFile(ImageFile.ImageFile):
    """An .icm file: the picture for people or, where that layer is missing, of the last task.

    Opening reads the structure alone; networks are loaded and the picture decoded with the pixels.
    """

    format = FORMAT
    format_description = "icmh layered picture"

    def _open(self) -> None:
        assert self.fp is not None
        data = self.fp.read()
        try:
            file = container.parse(data)
            metadata = {
                _METADATA[chunk.type]: container.metadata.unpack(chunk)
                for chunk in file.ancillary
                if chunk.type in _METADATA
            }
        except IcmhError as error:
            raise SyntaxError(str(error)) from error
        header = file.header
        self._data: bytes | None = data
        self._size = header.width, header.height
        self._mode = _MODES[header.channels]
        if not any(layer.task == container.HUMAN and n in file.layers
                   for n, layer in enumerate(header.layers)):  # fmt: skip
            self._mode = self._mode.removesuffix("A")  # a task's picture has none
        if header.depth == 16 and self._mode == "L":  # Pillow has no other such mode
            self._mode = "I;16"
        self.info["layers"] = tuple(header.layers[n].task for n in sorted(file.layers))
        self.info.update(metadata)
        self.tile = []

    def load(self) -> Any:
        """Decode the picture; errors are IcmhError's."""
        if self._data is not None:
            decoded = imageio.to_pil(_codec().decode(self._data).picture)
            self._data = None
            self._mode = decoded.mode
            if self.fp is not None and self._exclusive_fp:
                self.fp.close()
            self.fp = io.BytesIO(decoded.tobytes())
            self.tile = [ImageFile._Tile("raw", (0, 0, *self.size), 0, self.mode)]
        return super().load()


@lru_cache(maxsize=2)
def _codec(**options: Any) -> Codec:
    from icmhcodec.pipeline.codec import Codec

    return Codec(**options)


def _accept(prefix: bytes) -> bool:
    return prefix.startswith(container.SIGNATURE)


def _save(image: Image.Image, file: IO[bytes], filename: str | bytes) -> None:
    """Encode with the options of `Codec.encode`, and `base`, `device`, `precision`, `exif`, ..."""
    given: dict[str, Any] = image.encoderinfo
    codec = _codec(**{key: given[key] for key in ("base", "device", "precision") if key in given})
    options = {key: given[key] for key in OPTIONS if key in given}
    file.write(codec.encode(_with_metadata(image, given), **options).data)


def _with_metadata(image: Image.Image, given: dict[str, Any]) -> imageio.Picture:
    """The picture, with the metadata that `save` was given in place of its own."""
    picture = imageio.from_pil(image)
    if "icc_profile" in given:
        picture = replace(picture, icc=given["icc_profile"] or None)
    if "xmp" in given:
        picture = replace(picture, xmp=given["xmp"] or None)
    if "exif" in given:
        exif = given["exif"]
        data = exif.tobytes() if isinstance(exif, Image.Exif) else exif
        picture = replace(picture, exif=data.removeprefix(b"Exif\0\0") if data else None)
    return picture


Image.register_open(FORMAT, IcmImageFile, _accept)
Image.register_save(FORMAT, _save)
Image.register_extension(FORMAT, EXTENSION)
Image.register_mime(FORMAT, MIME)
