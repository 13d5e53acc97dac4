"""Runs torchvision's networks with random weights on a small picture, in a process of its own.

Where torchvision is built for another torch, its suppression is stood in for by the project's.
Prints a JSON object of what came out; arguments: a folder for the weights' files.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import torch

from icmhcodec.tasks import detection, torchvision_models


def stand_in():
    def nms(boxes, scores, overlap):
        classes = np.zeros(len(scores), np.int64)
        return torch.from_numpy(detection.suppress(boxes.numpy(), scores.numpy(), classes, overlap))

    schema = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
    for name in ("nms", "qnms"):
        torch.library.define(f"torchvision::{name}", schema)
    torch.library.impl("torchvision::nms", "CPU", nms)
    from torchvision.ops import boxes

    boxes._assert_has_ops = lambda: None


def loaded(name, load, model, folder):
    """What `load` makes of a model's weights, in a file that stands for the published one.

    The file has every tensor's name and shape but one value; the values are put in afterwards.
    """
    file = torchvision_models.FILES[name]
    # as in the published files: frozen normalisation counts no batches
    state = {k: v for k, v in model.state_dict().items() if "rcnn" not in name or "num_b" not in k}
    one = {k: torch.zeros((), dtype=v.dtype).expand(v.shape) for k, v in state.items()}
    torch.save(one, folder / file.name)
    digits = hashlib.sha256((folder / file.name).read_bytes()).hexdigest()[:8]
    torchvision_models.FILES[name] = dataclasses.replace(file, sha256=digits)
    network = load(folder)
    network.model.load_state_dict(state)
    return network


def run(network, picture):
    x = torch.rand(1, 3, 32, 64, requires_grad=True)
    network.preprocess(x).sum().backward()
    found = network.predict(picture, (96, 80))
    return {
        "name": network.name,
        "fingerprint": network.fingerprint,
        "features": [list(f.shape[1:]) for f in network.features(torch.rand(1, 3, 32, 64))],
        "gradient": bool(x.grad.abs().sum() > 0),
        "agreement": network.metric([network.observe(found, found, None)])["agreement"],
    }, found


def main():
    torch.set_num_threads(1)
    torch.manual_seed(0)
    try:
        import torchvision
    except RuntimeError:
        stand_in()
        import torchvision
    models, folder = torchvision.models, Path(sys.argv[1])
    picture = np.random.default_rng(0).integers(0, 255, (40, 48, 3), np.uint8)
    none = {"weights": None, "weights_backbone": None}

    model = models.resnet50(weights=None)
    resnet = loaded("resnet50", torchvision_models.load_resnet50, model, folder)
    results = [run(resnet, picture)[0]]
    with torch.inference_mode():
        pooled = resnet.features(torch.rand(1, 3, 32, 64))[-1].mean((2, 3))
        results[0]["logits"] = list(model.fc(pooled).shape)

    model = models.detection.maskrcnn_resnet50_fpn(**none)
    masked = loaded("mask-rcnn", torchvision_models.load_mask_rcnn, model, folder)
    # small, so that it takes seconds
    masked.model.transform.min_size, masked.model.transform.max_size = (64,), 96
    masked.model.rpn._post_nms_top_n = {"training": 20, "testing": 20}
    result, found = run(masked, picture)
    result["boxes"], result["largest"] = len(found.boxes), found.boxes.max(0).tolist()
    result["size"] = found.masks[0]["size"]
    result["eps"] = sorted({m.eps for m in masked.modules() if hasattr(m, "eps")})
    results.append(result)

    model = models.segmentation.deeplabv3_resnet50(**none, num_classes=21, aux_loss=True)
    torchvision_models.DEEPLAB_INPUT = dataclasses.replace(
        torchvision_models.DEEPLAB_INPUT, size=(64, 64)
    )
    deeplab = loaded("deeplabv3", torchvision_models.load_deeplabv3, model, folder)
    result, found = run(deeplab, picture)
    results.append({**result, "shape": list(found.shape)})
    print(json.dumps(results))


if __name__ == "__main__":
    main()
