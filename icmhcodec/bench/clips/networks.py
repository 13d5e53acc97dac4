"""Recognition networks for pictures, on the frames of clips one by one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from icmhcodec.bench.clips import masks
from icmhcodec.bench.contract import Pixels
from icmhcodec.errors import UsageError
from icmhcodec.tasks import classification
from icmhcodec.tasks.contract import RecognitionNetwork
from icmhcodec.tasks.described import DescribedClassifier
from icmhcodec.tasks.segmentation import VOID, read_labels

Floats = npt.NDArray[np.float32]


class ClipNetwork:
    """A network on each frame; what it finds is judged as in so many pictures."""

    def __init__(self, network: RecognitionNetwork[Any]) -> None:
        self.network = network
        self.name, self.task = network.name, network.task
        self.fingerprint = network.fingerprint

    def predict(self, frame: Pixels) -> Any:
        """What `observe` needs of a frame, uint8 [H,W,3]."""
        return self.network.predict(frame)

    def observe(self, found: Iterable[Any], original: Iterable[Any], truth: Any) -> dict[str, Any]:
        """What metrics need of one clip, ready for JSON, from its frames' predictions."""
        del truth  # nobody labels the boxes of frames
        pairs = zip(found, original, strict=True)
        return {"frames": [self.network.observe(own, other, None) for own, other in pairs]}

    def metric(self, observations: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        """Metrics in percent over all frames of these clips."""
        return self.network.metric([frame for clip in observations for frame in clip["frames"]])


class ClipSegmenter(ClipNetwork):
    """A segmentation network on each frame, and J and F where there are masks.

    As in DAVIS 2016 there is one object: all that is no background, in labels and in masks. J and F
    are means over a clip's frames that have a mask, then over clips.
    """

    def observe(self, found: Iterable[Any], original: Iterable[Any], truth: Any) -> dict[str, Any]:
        """The agreement's counts of each frame, and the clip's J and F, None without masks."""
        frames, measured = [], []
        # There may be more masks than frames are taken of the clip.
        for own, other, path in zip(found, original, truth or repeat(None), strict=False):
            frames.append(self.network.observe(own, other, None))
            if path is not None:
                measured.append(_fit(own, path))
        fits = np.mean(measured, axis=0).tolist() if measured else (None, None)
        return {"frames": frames, **dict(zip("JF", fits, strict=True))}

    def metric(self, observations: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        """J, F and their mean over the clips with masks; the agreement of labels over all."""
        agreement = super().metric(observations)
        fits = [[clip["J"], clip["F"]] for clip in observations if clip["J"] is not None]
        if not fits:
            return agreement
        j, f = (100 * float(value) for value in np.mean(fits, axis=0))
        return {"J&F": (j + f) / 2, "J": j, "F": f, **agreement}


def _fit(labels: npt.NDArray[np.uint8], path: Path) -> tuple[float, float]:
    found, truth = (labels != 0) & (labels != VOID), read_labels(path) != 0
    return masks.similarity(found, truth), masks.accuracy(found, truth)


class ClipClassifier(ClipNetwork):
    """A classifier whose outputs, logits or probabilities, are averaged over a clip's frames."""

    @torch.inference_mode()
    def predict(self, frame: Pixels) -> Floats:
        """The outputs for a frame, one for each of the network's classes."""
        x = torch.from_numpy(frame.astype(np.float32) / 255).permute(2, 0, 1)[None]
        network: Any = self.network
        outputs: Tensor
        if isinstance(network, DescribedClassifier):
            names = list(network.said.output.names.values())
            [outputs] = network.program.run(network.preprocess(x), names)
        elif hasattr(network, "parameters"):  # a torch.nn.Module, torchvision's in `model`
            weight = next(network.parameters())
            model = getattr(network, "model", network)
            outputs = model(network.preprocess(x).to(weight.device, weight.dtype))
        else:
            raise UsageError(f"{network.name}: gives no outputs that could be averaged over a clip")
        values: Floats = outputs.float().cpu().numpy().ravel()
        return values

    def observe(self, found: Iterable[Any], original: Iterable[Any], truth: Any) -> dict[str, Any]:
        """Whether the label is the best class or among five; whether the best one has stayed."""
        return self.network.observe(self._best(found), self._best(original), truth)

    def _best(self, outputs: Iterable[Floats]) -> classification.Classes:
        count, total = 0, np.zeros(1)
        for values in outputs:
            count, total = count + 1, total + values
        mean = (total / count).astype(np.float32)
        if not isinstance(self.network, DescribedClassifier):
            return classification.best(mean)
        classes = np.array(self.network.said.output.classes)
        if len(classes) < len(mean):
            raise UsageError(
                f"{self.name} has {len(mean)} outputs, but its description knows {len(classes)} "
                "classes; correct [output] classes"
            )
        known = classes[: len(mean)] >= 0
        chosen: classification.Classes = classes[: len(mean)][known][
            classification.best(mean[known])
        ]
        return chosen

    def metric(self, observations: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        """Percent of the clips with a label for top1 and top5, of all for the agreement."""
        return self.network.metric(observations)


def on_clips(network: RecognitionNetwork[Any]) -> ClipNetwork:
    """A network as it judges clips."""
    kinds = {"seg": ClipSegmenter, "cls": ClipClassifier}
    return kinds.get(network.task, ClipNetwork)(network)
