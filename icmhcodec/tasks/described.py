"""Networks of the user, run as their descriptions say (see `icmhcodec.tasks.description`)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from icmhcodec.errors import MissingWeightsError, UsageError
from icmhcodec.tasks import (
    classification,
    description,
    detection,
    packages,
    segmentation,
    weights,
    yolox,
)
from icmhcodec.tasks.classification import Classes, Classification
from icmhcodec.tasks.contract import Pixels, RecognitionNetwork
from icmhcodec.tasks.description import Description, Name, Output
from icmhcodec.tasks.detection import Detection, Detections
from icmhcodec.tasks.segmentation import VOID, Labels, Segmentation

DTYPES = {"float32": torch.float32, "float16": torch.float16, "uint8": torch.uint8}


def load_described(path: str | Path) -> RecognitionNetwork[Any]:
    """The network that a TOML file describes.

    Raises UsageError for a description that is wrong, MissingWeightsError where its file is not
    there, is another than the SHA-256 says, or cannot be loaded.
    """
    said = description.read(path)
    said = replace(said, file=_found(said.file))
    if said.sha256 and hashlib.sha256(said.file.read_bytes()).hexdigest() != said.sha256.lower():
        raise MissingWeightsError(f"{said.file}: its SHA-256 is not the one in {path}")
    if said.task == "cls":
        return DescribedClassifier(said)
    if said.task == "seg":
        return DescribedSegmenter(said)
    return DescribedDetector(said)


def _found(file: Path) -> Path:
    """The file, or one of this name among the networks; MissingWeightsError where none is."""
    for place in (file, *(root / file.name for root in weights.roots())):
        if place.is_file():
            return place
    raise MissingWeightsError(
        f"{file.name} is not in {file.parent}; put it there, or name its folder in ICMH_NETS"
    )


class _Described:
    """A network that runs as its description says."""

    multiple = 1

    def __init__(self, said: Description) -> None:
        self.said = said
        self.name = said.name
        size = said.input.size
        self.side = size[0] * 4 // 3 if said.input.resize == "short" else max(size)
        if said.input.resize == "crop":
            self.side = round(self.side / said.input.fraction)
        self.program = _open(said)
        self._trunk: _Converted | None = None  # made when features are first asked for
        self._placed: tuple[tuple[Any, ...], dict[str, Any]] = (), {}
        self.fingerprint = weights.fingerprint(
            said.file,
            input=said.input,
            output=said.output,
            layout=said.layout,
            dtype=said.dtype,
        )

    def to(self, *args: Any, **kwargs: Any) -> Any:
        """Move a torch.export program as torch.nn.Module.to does; onnxruntime stays on the CPU."""
        self.program.to(*args, **kwargs)
        if self._trunk is not None:
            self._trunk.module.to(*args, **kwargs)
        self._placed = args, kwargs
        return self

    def preprocess(self, x: Tensor) -> Tensor:
        """RGB [B,3,H,W] in [0,1] -> the network's input; differentiable."""
        return self._laid_out(self.said.input.differentiable(x))

    def features(self, x: Tensor) -> list[Tensor]:
        """The tensors that the description names, of RGB [B,3,H,W] in [0,1], not resized.

        An ONNX file is run by torch, up to these tensors, so that gradients pass. Raises UsageError
        where the description names none.
        """
        names = self.said.output.features
        if not names:
            raise UsageError(
                f"{self.name} has no features; name tensors of {self.said.file.name}"
                " in its description: [output] features = [...]"
            )
        program = self._trunk or self.program
        if isinstance(program, _Onnx):
            program = self._trunk = _Converted(self.said)
            program.module.to(*self._placed[0], **self._placed[1])
        return program.run(self._laid_out(self.said.input.normalise(x * 255)), names)

    def _laid_out(self, x: Tensor) -> Tensor:
        x = x.permute(0, 2, 3, 1) if self.said.layout == "nhwc" else x
        if self.said.dtype == "uint8":
            x = x.round().clamp(0, 255)
        return x.to(DTYPES[self.said.dtype])

    @torch.inference_mode()
    def _outputs(self, picture: Pixels) -> list[npt.NDArray[Any]]:
        """The outputs of the description's kind for one picture, without the batch axis."""
        x = self._laid_out(self.said.input.tensor(picture))
        outputs = self.program.run(x, list(self.said.output.names.values()))
        return [output.cpu().numpy()[0] for output in outputs]


class DescribedClassifier(Classification, _Described):
    """A classifier of the user."""

    def predict(self, picture: Pixels, size: tuple[int, int] | None = None) -> Classes:
        """The five best classes of a picture, uint8 [H,W,3], as the data set counts them."""
        (logits,) = self._outputs(picture)
        classes = _mapped(self.said, np.arange(logits.size))
        known = classes >= 0
        return classes[known][classification.best(logits.ravel()[known])]


class DescribedSegmenter(Segmentation, _Described):
    """A segmentation network of the user."""

    def predict(self, picture: Pixels, size: tuple[int, int] | None = None) -> Labels:
        """Labels of a picture uint8 [H,W,3], at `size` (width, height), by default its own."""
        (output,) = self._outputs(picture)
        place = self.said.input.place(picture.shape[0], picture.shape[1])
        (top, left), (height, width) = place.corner, place.size
        # the picture's part of the map, whose steps may be larger than the input's
        down, across = output.shape[-2] / place.canvas[0], output.shape[-1] / place.canvas[1]
        rows = slice(round(top * down), max(1, round((top + height) * down)))
        columns = slice(round(left * across), max(1, round((left + width) * across)))
        output = output[..., rows, columns]
        width, height = size or (picture.shape[1], picture.shape[0])
        if self.said.output.kind == "logits":
            labels = segmentation.label(torch.from_numpy(output.copy())[None], (height, width))
        else:
            nearest = (
                (np.arange(n) * 2 + 1) * side // (2 * n)
                for n, side in zip((height, width), output.shape[-2:], strict=True)
            )
            labels = output.reshape(output.shape[-2:])[np.ix_(*nearest)]
        classes = _mapped(self.said, labels.astype(np.int64))
        return np.where(classes < 0, VOID, classes).astype(np.uint8)


class DescribedDetector(Detection, _Described):
    """A detector of the user."""

    def predict(self, picture: Pixels, size: tuple[int, int] | None = None) -> Detections:
        """Objects in a picture uint8 [H,W,3], in pixels of one of `size` (width, height)."""
        output, way = self.said.output, self.said.input
        height, width = picture.shape[:2]
        place = way.place(height, width)
        boxes, scores, numbers = _objects(output, self._outputs(picture), place.canvas)
        classes = _mapped(self.said, numbers)
        kept = (classes >= 0) & (scores > output.score)
        found = detection.choose(
            detection.clip(place.back(boxes[kept]), height, width),
            scores[kept],
            classes[kept],
            overlap=output.overlap or None,
            most=output.most,
        )
        return found.resized(picture.shape, size)


def _objects(
    output: Output, arrays: list[npt.NDArray[Any]], canvas: tuple[int, int]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Boxes x1, y1, x2, y2 in the input's pixels, scores and class numbers."""
    if output.kind in description.SUPPRESSED:
        boxes, scores, numbers = arrays if output.kind == "boxes" else _columns(arrays[0])
        return _corners(output, boxes, canvas), _float(scores), numbers.astype(np.int64)
    if output.kind == "scores":
        boxes, scores = arrays
        scores = _activated(output.activation, _float(scores))
    else:
        (objects,) = arrays
        objects = objects.T if output.kind == "yolov8" else objects
        boxes = objects[:, :4]
        scores = objects[:, 4:] if output.kind == "yolov8" else objects[:, 4:5] * objects[:, 5:]
    if output.kind == "yolox":
        boxes = yolox.decode(_float(boxes), *canvas)
    else:
        boxes = _corners(output, boxes, canvas)
    return detection.candidates(boxes, _float(scores), output.score)


def _columns(objects: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], ...]:
    """Boxes, scores and labels of rows [n,6]."""
    return objects[:, :4], objects[:, 4], objects[:, 5]


def _activated(kind: str, scores: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Probabilities of classes, of each by itself or of one among them [n,C]."""
    raw = torch.from_numpy(scores)
    if kind == "softmax":
        return raw.softmax(-1).numpy()
    return raw.sigmoid().numpy() if kind == "sigmoid" else scores


def _float(values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    return values.astype(np.float32)


def _corners(
    output: Output, boxes: npt.NDArray[Any], canvas: tuple[int, int]
) -> npt.NDArray[np.float32]:
    boxes = _float(boxes).reshape(-1, 4)
    if output.box == "yxyx":
        boxes = boxes[:, [1, 0, 3, 2]]
    if output.relative:
        boxes = boxes * np.array([canvas[1], canvas[0]] * 2, np.float32)
    start, end = boxes[:, :2], boxes[:, 2:]
    if output.box == "xywh":
        end = start + end
    elif output.box == "cxcywh":
        start, end = start - end / 2, start + end / 2
    return np.concatenate((start, np.maximum(start, end)), 1)


def _mapped(said: Description, numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The data set's classes for class numbers of the network."""
    classes = np.array(said.output.classes, np.int64)
    if numbers.size and not 0 <= numbers.min() <= numbers.max() < len(classes):
        raise UsageError(
            f"{said.name} gives class {numbers.max()}, but its description knows"
            f" {len(classes)} classes; correct [output] classes"
        )
    return classes[numbers]


class _Onnx:
    """An ONNX file in onnxruntime, on the CPU."""

    def __init__(self, said: Description) -> None:
        runtime = packages.load("onnxruntime", said.file.name)
        options = runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3
        model = _with_outputs(said.file, said.output.features)
        try:
            self.session = runtime.InferenceSession(model, options, ["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own errors have no common class
            raise _unreadable(said.file, error) from error
        self.names = [output.name for output in self.session.get_outputs()]

    def to(self, *_: Any, **__: Any) -> _Onnx:
        return self

    def run(self, x: Tensor, names: Sequence[Name]) -> list[Tensor]:
        inputs = {self.session.get_inputs()[0].name: x.detach().cpu().numpy()}
        try:
            wanted = [self.names[n] if isinstance(n, int) else n for n in names]
            outputs = self.session.run(wanted, inputs)
        except Exception as error:  # as above
            raise _misfit(error) from error
        return [torch.from_numpy(output).to(x.device) for output in outputs]


class _Converted:
    """What of an ONNX file leads to its features, in torch; pictures one after the other.

    One after the other because many files have a batch of one written into their reshapes.
    """

    def __init__(self, said: Description) -> None:
        onnx = packages.load("onnx", said.file.name)
        converter = packages.load("onnx2torch", said.file.name)
        model = onnx.load(str(said.file))
        names = [model.graph.output[n].name if isinstance(n, int) else n
                 for n in said.output.features]  # fmt: skip
        _keep(onnx, model.graph, names)
        try:
            self.module = converter.convert(model).eval().requires_grad_(False)
        except Exception as error:  # an operator that it does not know, and whatever else
            raise _unreadable(said.file, error) from error

    def run(self, x: Tensor, names: Sequence[Name]) -> list[Tensor]:
        try:
            rows = [self.module(one) for one in torch.split(x, 1)]
        except Exception as error:  # shapes that do not fit, as they come from operators
            raise _misfit(error) from error
        if len(names) == 1:
            return [torch.cat(rows)]
        return [torch.cat(parts) for parts in zip(*rows, strict=True)]


def _keep(onnx: Any, graph: Any, names: Sequence[str]) -> None:
    """Keep of an ONNX graph what its tensors of these names are made of, and give these."""
    wanted, kept = set(names), []
    for node in reversed(graph.node):  # inputs come before what is made of them
        if wanted & set(node.output):
            kept.append(node)
            wanted |= set(node.input)
    del graph.node[:], graph.output[:]
    graph.node.extend(reversed(kept))
    graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names)


class _Exported:
    """A torch.export program."""

    def __init__(self, said: Description) -> None:
        try:
            self.module = torch.export.load(said.file).module()
        except Exception as error:  # zip, pickle, schema: whatever is wrong with the file
            raise _unreadable(said.file, error) from error

    def to(self, *args: Any, **kwargs: Any) -> _Exported:
        self.module.to(*args, **kwargs)
        return self

    def run(self, x: Tensor, names: Sequence[Name]) -> list[Tensor]:
        weight = next(self.module.parameters(), x)
        try:
            outputs: Any = self.module(x.to(weight.device))
            outputs = (outputs,) if isinstance(outputs, Tensor) else outputs
            return [outputs[name] for name in names]
        except (RuntimeError, AssertionError, LookupError, TypeError) as error:
            raise _misfit(error) from error


def _open(said: Description) -> _Onnx | _Exported:
    kinds: dict[str, type[_Onnx] | type[_Exported]] = {".onnx": _Onnx, ".pt2": _Exported}
    kind = kinds.get(said.file.suffix)
    if kind is None:
        raise UsageError(f"{said.file}: neither an .onnx file nor a .pt2 program")
    return kind(said)


def _with_outputs(path: Path, names: Sequence[Name]) -> str | bytes:
    """The file, or its bytes with inner tensors of these names among its outputs."""
    if not names:
        return str(path)
    onnx = packages.load("onnx", path.name)
    model = onnx.load(str(path))
    present = {output.name for output in model.graph.output}
    for name in names:
        if isinstance(name, str) and name not in present:
            model.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    whole: bytes = model.SerializeToString()
    return whole


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _misfit(error: Exception) -> UsageError:
    return UsageError(f"the network does not run as its description says ({_line(error)})")


def _unreadable(path: Path, error: Exception) -> MissingWeightsError:
    return MissingWeightsError(f"{path} cannot be loaded as a network ({_line(error)})")
