"""Classification: the best five classes of a picture, top-1 and top-5 accuracy, agreement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Classes = npt.NDArray[np.int64]  # the five best classes of a picture, best first


class Classification:
    """The part of the contract that all classifiers share; predictions are `Classes`."""

    task = "cls"

    def observe(self, prediction: Classes, original: Classes, truth: int | None) -> dict[str, Any]:
        """Whether the label is the best class or among five; whether the best one has stayed."""
        known = truth is not None
        return {
            "top1": int(prediction[0] == truth) if known else None,
            "top5": int(truth in prediction[:5].tolist()) if known else None,
            "agreement": int(prediction[0] == original[0]),
        }

    def metric(self, observations: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        """Percent of the pictures with a label for top1 and top5, of all for the agreement."""
        labelled = [o for o in observations if o["top1"] is not None]
        result = {}
        if labelled:
            result = {name: _percent([o[name] for o in labelled]) for name in ("top1", "top5")}
        return {**result, "agreement": _percent([o["agreement"] for o in observations])}


def best(logits: npt.NDArray[np.float32]) -> Classes:
    """The five best classes of logits or probabilities [classes], fewer where there are fewer."""
    return np.argsort(-logits, kind="stable")[:5]


def _percent(hits: list[int]) -> float:
    return 100 * sum(hits) / len(hits) if hits else float("nan")
