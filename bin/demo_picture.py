"""Draws original | machine | human with bits and PSNR under each, and what a detector finds."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

MARGIN, GAP, HEAD, FOOT = 32, 24, 104, 118
PAPER, INK, FAINT, ACCENT = "#fbfaf7", "#1d2430", "#6b7280", "#c2410c"
SCORE = 0.3
# COCO's classes, in the order of their ids
CLASSES = [
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat",
    "traffic light", "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog",
    "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe", "backpack", "umbrella",
    "handbag", "tie", "suitcase", "frisbee", "skis", "snowboard", "sports ball", "kite",
    "baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket",
    "bottle", "wine glass",
    "cup", "fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich", "orange", "broccoli",
    "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch", "potted plant", "bed",
    "dining table", "toilet", "tv", "laptop", "mouse", "remote", "keyboard", "cell phone",
    "microwave", "oven", "toaster", "sink", "refrigerator", "book", "clock", "vase", "scissors",
    "teddy bear", "hair drier", "toothbrush",
]  # fmt: skip


def main(original: str, machine: str, human: str, plain: str, out: str) -> None:
    """Draw the three pictures; `machine` and `human` are PICTURE:FILE."""
    photo = load(original)
    panels = [(photo, "original", cost(original, photo, "PNG"))]
    for given, name in ((machine, "machine: the detection layer"), (human, "human: all layers")):
        picture, file = given.split(":")
        decoded = load(picture)
        bits = cost(file, decoded) + f", {psnr(photo, decoded):.2f} dB"
        panels.append((decoded, name, bits))
    found = [detect(picture) for picture, _, _ in panels]
    draw(panels, found, size_of(human.split(":")[1]) / size_of(plain)).save(out, optimize=True)
    print(Path(out).resolve())


def load(path: str) -> Image.Image:
    """The picture in a file, as RGB."""
    with Image.open(path) as image:
        return image.convert("RGB")


def size_of(path: str) -> int:
    """Bytes of a file."""
    return Path(path).stat().st_size


def cost(path: str, picture: Image.Image, kind: str = "") -> str:
    """Bytes and bits per pixel of a file, in words."""
    size = size_of(path)
    bpp = size * 8 / (picture.width * picture.height)
    return f"{size:,} bytes{' as ' + kind if kind else ''}, {bpp:.3f} bpp"


def psnr(a: Image.Image, b: Image.Image) -> float:
    """PSNR in dB over all channels."""
    error = np.square(np.asarray(a, np.float64) - np.asarray(b, np.float64)).mean()
    return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))


def detect(picture: Image.Image) -> list[tuple[list[float], str, float]] | None:
    """Boxes, names and scores of what YOLOX-Nano finds; None where the network is not at hand."""
    from icmhcodec.errors import IcmhError
    from icmhcodec.tasks import weights, yolox
    from icmhcodec.tasks.detection import COCO_IDS

    try:
        network = yolox.load_yolox(weights.locate(yolox.FILE, download=False))
    except IcmhError:
        return None
    found = network.predict(np.asarray(picture)).above(SCORE)
    names = dict(zip(COCO_IDS.tolist(), CLASSES, strict=True))
    return [
        (box.tolist(), names[int(kind)], float(score))
        for box, kind, score in zip(found.boxes, found.classes, found.scores, strict=True)
    ]


def draw(
    panels: list[tuple[Image.Image, str, str]],
    found: list[list[tuple[list[float], str, float]] | None],
    ratio: float,
) -> Image.Image:
    """The sheet with the pictures side by side; `ratio` is of the layered file to the plain one."""
    width, height = panels[0][0].size
    sheet = Image.new("RGB", (2 * MARGIN + 3 * width + 2 * GAP, HEAD + height + FOOT), PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((MARGIN, 24), "One file, two readers", INK, font(34))
    pen.text(
        (MARGIN, 68),
        "icmh: the layer for a detector comes first and can be sent alone; "
        f"the layered file has {ratio:.3f} times the bytes of the plain one.",
        FAINT,
        font(19),
    )
    for n, ((picture, name, bits), objects) in enumerate(zip(panels, found, strict=True)):
        left, below = MARGIN + n * (width + GAP), HEAD + height
        sheet.paste(picture, (left, HEAD))
        pen.text((left, below + 12), name, INK, font(24))
        pen.text((left, below + 46), bits, INK, font(19))
        if objects is not None:
            said = ", ".join(f"{label} {score:.2f}" for _, label, score in objects) or "nothing"
            pen.text((left, below + 76), shorten(f"detector: {said}", width), ACCENT, font(17))
            for box, label, score in objects:
                mark(pen, (left, HEAD, left + width - 1, below - 1), box, f"{label} {score:.2f}")
    return sheet


def mark(
    pen: ImageDraw.ImageDraw, frame: tuple[int, int, int, int], box: list[float], label: str
) -> None:
    """One box with its label, kept inside the frame of its picture."""
    left, top, right, bottom = frame
    x1, x2 = (min(max(left + x, left), right) for x in (box[0], box[2]))
    y1, y2 = (min(max(top + y, top), bottom) for y in (box[1], box[3]))
    pen.rectangle((x1, y1, x2, y2), outline=ACCENT, width=3)
    text = font(15)
    x1 = min(x1, right - text.getlength(label) - 8)
    pen.rectangle((x1, y1, x1 + text.getlength(label) + 8, y1 + 21), fill=ACCENT)
    pen.text((x1 + 4, y1 + 2), label, "white", text)


def shorten(line: str, width: int) -> str:
    """The line without its last items, so that it fits."""
    while font(17).getlength(line) > width:
        line = line.removesuffix(" ...").rpartition(",")[0] + " ..."
    return line


def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own font."""
    return ImageFont.load_default(size)


if __name__ == "__main__":
    main(*sys.argv[1:])
