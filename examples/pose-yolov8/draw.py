"""Draw what the endpoint answered, boxes and key points, on the image: python draw.py IMAGE ANSWER.json TARGET

엔드포인트의 응답(박스와 관절)을 이미지 위에 그립니다.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

LIMBS = [(5, 7), (7, 9), (6, 8), (8, 10), (5, 6), (5, 11), (6, 12), (11, 12), (11, 13), (13, 15), (12, 14), (14, 16)]
SEEN = 0.3
"""Key points that the model is less sure of are left out."""
WIDTH = 640
"""Of the picture, at least."""


def draw(image: Image.Image, answer: dict[str, Any]) -> Image.Image:
    """A picture of its own; `answer` is in pixels of `image`."""
    scale = max(1.0, WIDTH / image.width)
    picture = image.resize((round(image.width * scale), round(image.height * scale)))
    pen = ImageDraw.Draw(picture)
    for person in answer["predictions"]:
        left, top, right, bottom = (value * scale for value in person["box"])
        pen.rectangle((left, top, right, bottom), outline=(0, 170, 255), width=3)
        pen.text((left + 4, top + 2), f"person {person['confidence']:.2f}", fill=(0, 170, 255))
        points = [(point["x"] * scale, point["y"] * scale, point["confidence"]) for point in person["keypoints"]]
        for begin, end in LIMBS:
            if min(points[begin][2], points[end][2]) >= SEEN:
                pen.line((*points[begin][:2], *points[end][:2]), fill=(90, 220, 90), width=3)
        for x, y, confidence in points:
            if confidence >= SEEN:
                pen.ellipse((x - 4, y - 4, x + 4, y + 4), fill=(255, 60, 60))
    return picture


def main(source: str, answer: str, target: str) -> None:
    with Image.open(source) as image:
        draw(image.convert("RGB"), json.loads(Path(answer).read_text())).save(target)


if __name__ == "__main__":
    main(*sys.argv[1:])
