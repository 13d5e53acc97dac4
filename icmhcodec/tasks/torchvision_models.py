"""torchvision's ResNet-50, Faster R-CNN, Mask R-CNN and DeepLabv3 with their published weights.

torchvision is optional: it has to be the build that belongs to the installed torch.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from icmhcodec.errors import MissingWeightsError
from icmhcodec.tasks import classification, packages, segmentation, weights
from icmhcodec.tasks.classification import Classes, Classification
from icmhcodec.tasks.contract import Pixels, check_sides
from icmhcodec.tasks.detection import Detection, Detections
from icmhcodec.tasks.inputs import IMAGENET_MEAN, IMAGENET_STD, Input
from icmhcodec.tasks.segmentation import Labels, Segmentation
from icmhcodec.tasks.weights import NetworkFile

UNIT = {"scale": 1 / 255, "mean": IMAGENET_MEAN, "std": IMAGENET_STD}
RESNET_INPUT = Input((224, 224), "crop", fraction=224 / 232, **UNIT)  # type: ignore[arg-type]
DEEPLAB_INPUT = Input((520, 520), "short", **UNIT)  # type: ignore[arg-type]
LONG = 1333  # of the R-CNNs' input: short side 800, long side at most this


def _file(name: str, digits: str, size: int) -> NetworkFile:
    """A published file; its name ends with the first eight digits of its SHA-256."""
    name = f"{name}-{digits}.pth"
    url = f"https://download.pytorch.org/models/{name}"
    return NetworkFile("torchvision", name, url, digits, size)


FILES = {  # sizes are bounds
    "resnet50": _file("resnet50", "11ad3fa6", 110_000_000),
    "faster-rcnn": _file("fasterrcnn_resnet50_fpn_coco", "258fb6c6", 180_000_000),
    "mask-rcnn": _file("maskrcnn_resnet50_fpn_coco", "bf2d0c1e", 190_000_000),
    "deeplabv3": _file("deeplabv3_resnet50_coco", "cd0a2569", 180_000_000),
}


class _Network(nn.Module):
    """What the four share: a model of torchvision, its name and its fingerprint."""

    multiple = 32

    def __init__(self, name: str, model: nn.Module, file: Path, **settings: Any) -> None:
        super().__init__()
        model.load_state_dict(weights.load_state(file))
        self.model: Any = model
        self.name = name
        version = _torchvision("torchvision").__version__
        self.fingerprint = weights.fingerprint(file, torchvision=version, **settings)
        self.eval().requires_grad_(False)

    def _own(self, x: Tensor) -> Tensor:
        weight = next(self.parameters())
        return x.to(weight.device, weight.dtype)


class ResNet50(Classification, _Network):
    """ResNet-50 with ImageNet's 1000 classes (weights IMAGENET1K_V2)."""

    side = 232  # the centre of 224 is what the network sees

    def preprocess(self, x: Tensor) -> Tensor:
        """RGB [B,3,H,W] in [0,1] -> the centre, [B,3,224,224]; differentiable."""
        return RESNET_INPUT.differentiable(x)

    def features(self, x: Tensor) -> list[Tensor]:
        """Outputs of the four stages, strides 4 to 32, of RGB [B,3,H,W]; differentiable."""
        check_sides(self, x)
        model = self.model
        x = model.relu(model.bn1(model.conv1(RESNET_INPUT.normalise(x * 255))))
        outputs = [model.layer1(model.maxpool(x))]
        for stage in (model.layer2, model.layer3, model.layer4):
            outputs.append(stage(outputs[-1]))
        return outputs

    @torch.inference_mode()
    def predict(self, picture: Pixels, size: tuple[int, int] | None = None) -> Classes:
        """The five best of ImageNet's classes for a picture, uint8 [H,W,3], of any size."""
        logits = self.model(self._own(RESNET_INPUT.tensor(picture)))
        return classification.best(logits[0].float().cpu().numpy())


class Rcnn(Detection, _Network):
    """Faster or Mask R-CNN (ResNet-50, feature pyramid) with COCO's classes."""

    side = LONG

    def preprocess(self, x: Tensor) -> Tensor:
        """RGB [B,3,H,W] in [0,1] -> short side 800, normalised; differentiable."""
        images: Tensor = self.model.transform(list(x))[0].tensors
        return images

    def features(self, x: Tensor) -> list[Tensor]:
        """The pyramid's levels [B,256,H/s,W/s], s = 4, 8, 16, 32; differentiable."""
        check_sides(self, x)
        mean, std = x.new_tensor(IMAGENET_MEAN), x.new_tensor(IMAGENET_STD)
        levels = self.model.backbone((x - mean[:, None, None]) / std[:, None, None])
        return list(levels.values())[:4]

    @torch.inference_mode()
    def predict(self, picture: Pixels, size: tuple[int, int] | None = None) -> Detections:
        """Objects in a picture, uint8 [H,W,3], with torchvision's settings: at most 100.

        Boxes and masks are in pixels of a picture of `size` (width, height), by default its own.
        """
        model = self.model
        x = torch.from_numpy(picture.copy()).permute(2, 0, 1) / 255
        images, _ = model.transform([self._own(x)])
        levels = model.backbone(images.tensors)
        proposals, _ = model.rpn(images, levels)
        found, _ = model.roi_heads(levels, proposals, images.image_sizes)
        width, height = size or (picture.shape[1], picture.shape[0])
        found = model.transform.postprocess(found, images.image_sizes, [(height, width)])[0]
        arrays = {key: value.float().cpu().numpy() for key, value in found.items()}
        order = np.argsort(-arrays["scores"], kind="stable")
        masks = _encoded(arrays["masks"][order, 0] > 0.5) if "masks" in arrays else None
        classes = arrays["labels"][order].astype(np.int64)  # COCO's ids as they are
        return Detections(arrays["boxes"][order], arrays["scores"][order], classes, masks)


class DeepLabV3(Segmentation, _Network):
    """DeepLabv3 (ResNet-50) with Pascal VOC's background and 20 classes, trained on COCO."""

    side = 520 * 4 // 3  # of a picture of 4:3

    def preprocess(self, x: Tensor) -> Tensor:
        """RGB [B,3,H,W] in [0,1] -> short side 520, normalised; differentiable."""
        return DEEPLAB_INPUT.differentiable(x)

    def features(self, x: Tensor) -> list[Tensor]:
        """The backbone's last two stages [B,1024,H/8,W/8], [B,2048,H/8,W/8]; differentiable."""
        check_sides(self, x)
        levels = self.model.backbone(DEEPLAB_INPUT.normalise(x * 255))
        return [levels["aux"], levels["out"]]

    @torch.inference_mode()
    def predict(self, picture: Pixels, size: tuple[int, int] | None = None) -> Labels:
        """Labels of a picture uint8 [H,W,3], at `size` (width, height), by default its own."""
        logits = self.model(self._own(DEEPLAB_INPUT.tensor(picture)))["out"]
        width, height = size or (picture.shape[1], picture.shape[0])
        return segmentation.label(logits.float(), (height, width))


def load_resnet50(path: str | Path | None = None) -> ResNet50:
    """ResNet-50; MissingWeightsError where its file or torchvision is not to be had."""
    model = _torchvision("torchvision.models").resnet50(weights=None)
    file = weights.locate(FILES["resnet50"], path)
    return ResNet50("resnet50", model, file, input=RESNET_INPUT)


def load_faster_rcnn(path: str | Path | None = None) -> Rcnn:
    """Faster R-CNN; MissingWeightsError where its file or torchvision is not to be had."""
    return _rcnn("faster-rcnn", "FasterRCNN", path)


def load_mask_rcnn(path: str | Path | None = None) -> Rcnn:
    """Mask R-CNN; MissingWeightsError where its file or torchvision is not to be had."""
    return _rcnn("mask-rcnn", "MaskRCNN", path)


def load_deeplabv3(path: str | Path | None = None) -> DeepLabV3:
    """DeepLabv3; MissingWeightsError where its file or torchvision is not to be had."""
    build = _torchvision("torchvision.models.segmentation").deeplabv3_resnet50
    model = build(weights=None, weights_backbone=None, num_classes=21, aux_loss=True)
    file = weights.locate(FILES["deeplabv3"], path)
    return DeepLabV3("deeplabv3", model, file, input=DEEPLAB_INPUT)


def _rcnn(name: str, kind: str, path: str | Path | None) -> Rcnn:
    models = _torchvision("torchvision.models.detection")
    backbone = models.backbone_utils.resnet_fpn_backbone(backbone_name="resnet50", weights=None)
    model = getattr(models, kind)(backbone, num_classes=91)
    frozen = _torchvision("torchvision.ops").FrozenBatchNorm2d
    for module in model.modules():
        if isinstance(module, frozen):
            module.eps = 0.0  # as these weights were trained
    return Rcnn(name, model, weights.locate(FILES[name], path))


def _torchvision(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except (ImportError, RuntimeError, OSError) as error:
        raise MissingWeightsError(
            f"this network needs torchvision, which does not load ({error}); install the"
            f" torchvision that is built for torch {torch.__version__}"
        ) from error


def _encoded(masks: Any) -> tuple[dict[str, Any], ...]:
    """Masks bool [n,H,W] -> run-length codes as pycocotools has them."""
    coder = packages.load("pycocotools.mask", "Mask R-CNN")
    columns = np.asfortranarray(masks.transpose(1, 2, 0).astype(np.uint8))
    return tuple(coder.encode(columns)) if len(masks) else ()
