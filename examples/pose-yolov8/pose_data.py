"""The example's data: a small drawn pose data set, or your own in the layout of coco8-pose, made ready for upload.

    python pose_data.py DATA                              drawn figures, always the same ones
    python pose_data.py DATA --source coco8-pose.zip      the workshop's photographs, from a zip file or a folder

Either way DATA gets `train`, `val` and `test`, each with `images/NAME.jpg` and `labels/NAME.txt`: one line a person,
`0 x y width height` and 17 times `x y visibility`, all relative to the image. Training sees train and val; test is
for the evaluation alone.

학습용 데이터 준비: 그림으로 만든 작은 포즈 데이터셋을 생성하거나, coco8-pose 형식의 데이터를 정리합니다.
"""

from __future__ import annotations

import argparse
import math
import random
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter

SIZE = 160
COUNTS = {"train": 200, "val": 24, "test": 40}
LIMBS = [(5, 7), (7, 9), (6, 8), (8, 10), (5, 6), (5, 11), (6, 12), (11, 12), (11, 13), (13, 15), (12, 14), (14, 16)]
IMAGE_TYPES = {".jpg", ".jpeg", ".png"}

Point = tuple[float, float]


def draw(target: Path, counts: dict[str, int], seed: int) -> None:
    """Draw every split. Each image has a random generator of its own, so no split depends on another's size."""
    for split, count in counts.items():
        for folder in ("images", "labels"):
            (target / split / folder).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            image, label = scene(random.Random(f"{seed}/{split}/{number}"))
            image.save(target / split / "images" / f"{number:05d}.jpg", quality=92)
            (target / split / "labels" / f"{number:05d}.txt").write_text(label)


def scene(chance: random.Random) -> tuple[Image.Image, str]:
    """One figure before a background, and its label."""
    image = background(chance)
    figure = pose(chance)
    paint(ImageDraw.Draw(image), figure, chance)
    return image.filter(ImageFilter.GaussianBlur(0.5)), label_of(figure)


def background(chance: random.Random) -> Image.Image:
    """A gradient with some shapes on it."""
    pale = [chance.randint(120, 235) for _ in range(3)]
    image = Image.new("RGB", (SIZE, SIZE))
    pen = ImageDraw.Draw(image)
    slope = chance.uniform(-0.35, 0.35)
    for y in range(SIZE):
        shade = 1 + slope * (y / SIZE - 0.5)
        pen.line([(0, y), (SIZE, y)], fill=tuple(min(255, int(c * shade)) for c in pale))
    for _ in range(chance.randint(2, 6)):
        x, y = chance.randint(-20, SIZE), chance.randint(-20, SIZE)
        width, height = chance.randint(8, 50), chance.randint(8, 50)
        colour = tuple(max(0, min(255, c + chance.randint(-45, 25))) for c in pale)
        shape = chance.choice([pen.rectangle, pen.ellipse])
        shape([x, y, x + width, y + height], fill=colour)
    return image


def pose(chance: random.Random) -> list[Point]:
    """The 17 key points of COCO, in pixels, all inside the image."""
    while True:
        points = skeleton(chance)
        if all(2 <= x <= SIZE - 2 and 2 <= y <= SIZE - 2 for x, y in points):
            return points


def skeleton(chance: random.Random) -> list[Point]:
    """A figure that faces us; its left is on our right. Angles are from straight down."""
    scale = chance.uniform(0.75, 1.15)
    lean = chance.uniform(-0.2, 0.2)
    neck = (chance.uniform(0.3, 0.7) * SIZE, chance.uniform(0.25, 0.45) * SIZE)

    def step(start: Point, angle: float, length: float) -> Point:
        angle += lean
        return start[0] + math.sin(angle) * length * scale, start[1] + math.cos(angle) * length * scale

    def limb(start: Point, angle: float, bend: float, length: float) -> tuple[Point, Point]:
        middle = step(start, angle, length)
        return middle, step(middle, angle + bend, length)

    across = math.pi / 2
    left_shoulder, right_shoulder = step(neck, across, 13), step(neck, -across, 13)
    waist = step(neck, 0, 38)
    left_hip, right_hip = step(waist, across, 9), step(waist, -across, 9)
    left_elbow, left_wrist = limb(left_shoulder, chance.uniform(0.1, 2.4), chance.uniform(-0.6, 0.8), 17)
    right_elbow, right_wrist = limb(right_shoulder, -chance.uniform(0.1, 2.4), -chance.uniform(-0.6, 0.8), 17)
    left_knee, left_ankle = limb(left_hip, chance.uniform(-0.1, 0.7), chance.uniform(-0.4, 0.2), 20)
    right_knee, right_ankle = limb(right_hip, -chance.uniform(-0.1, 0.7), -chance.uniform(-0.4, 0.2), 20)
    nose = step(neck, math.pi, 15)
    left_eye, right_eye = step(step(neck, math.pi, 18), across, 4), step(step(neck, math.pi, 18), -across, 4)
    left_ear, right_ear = step(step(neck, math.pi, 16), across, 9), step(step(neck, math.pi, 16), -across, 9)
    return [
        nose, left_eye, right_eye, left_ear, right_ear, left_shoulder, right_shoulder, left_elbow, right_elbow,
        left_wrist, right_wrist, left_hip, right_hip, left_knee, right_knee, left_ankle, right_ankle,
    ]  # fmt: skip


def paint(pen: ImageDraw.ImageDraw, points: list[Point], chance: random.Random) -> None:
    """Left limbs reddish, right limbs bluish: who faces us and who turns his back must be told apart."""
    shirt = tuple(chance.randint(30, 110) for _ in range(3))
    skin = tuple(chance.randint(low, high) for low, high in ((190, 245), (140, 200), (110, 170)))
    pen.polygon([points[5], points[6], points[12], points[11]], fill=shirt)
    for a, b in LIMBS:
        colour = (190, 60, 60) if a % 2 and b % 2 else (60, 70, 190) if not (a % 2 or b % 2) else shirt
        pen.line([points[a], points[b]], fill=colour, width=5)
    nose = points[0]
    radius = math.dist(points[3], points[4]) / 2
    pen.ellipse([nose[0] - radius, nose[1] - radius, nose[0] + radius, nose[1] + radius], fill=skin)
    for index, colour in ((1, (150, 20, 20)), (2, (20, 20, 150)), (0, (60, 40, 30))):
        x, y = points[index]
        pen.ellipse([x - 1.5, y - 1.5, x + 1.5, y + 1.5], fill=colour)
    for index in (9, 10, 15, 16):
        x, y = points[index]
        pen.ellipse([x - 3, y - 3, x + 3, y + 3], fill=skin)


def label_of(points: list[Point]) -> str:
    """A line of a label file: class, box, key points."""
    margin = 6
    left, right = min(x for x, _ in points) - margin, max(x for x, _ in points) + margin
    top, bottom = min(y for _, y in points) - margin, max(y for _, y in points) + margin
    left, top, right, bottom = max(left, 0), max(top, 0), min(right, SIZE), min(bottom, SIZE)
    box = [(left + right) / 2, (top + bottom) / 2, right - left, bottom - top]
    numbers = [f"{value / SIZE:.6f}" for value in box]
    for x, y in points:
        numbers += [f"{x / SIZE:.6f}", f"{y / SIZE:.6f}", "2"]
    return " ".join(["0", *numbers]) + "\n"


def take(source: Path, target: Path) -> None:
    """Copy the splits of a data set in coco8-pose's layout, and only what belongs to them.

    Around the images lie stray files (`.DS_Store`, `__MACOSX`) and copies of other splits in deeper folders: an image
    counts when it lies directly in `<split>/images` and has a label of its name in `<split>/labels`.
    """
    if source.is_file():
        with tempfile.TemporaryDirectory() as unpacked, zipfile.ZipFile(source) as archive:
            archive.extractall(unpacked)
            take(Path(unpacked), target)
        return
    found = {split: pairs(source, names) for split, names in SPLITS.items()}
    if not found["train"] or not found["val"]:
        sys.exit(f"{source} has no train/images and val/images (or valid/images) with labels beside them.")
    # Without a test split the validation images serve: eight photographs can't be split further.
    found["test"] = found["test"] or found["val"]
    for split, files in found.items():
        for image, label in files:
            for file, folder in ((image, "images"), (label, "labels")):
                place = target / split / folder
                place.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, place / file.name)


SPLITS = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}


def pairs(source: Path, names: tuple[str, ...]) -> list[tuple[Path, Path]]:
    """(image, label) of a split, wherever below `source` its folder is; the one nearest the top wins."""
    folders = sorted(
        (folder for name in names for folder in source.rglob(f"{name}/images") if "__MACOSX" not in folder.parts),
        key=lambda folder: len(folder.parts),
    )
    for folder in folders:
        images = (file for file in sorted(folder.iterdir()) if file.suffix.lower() in IMAGE_TYPES and file.is_file())
        both = [(image, folder.parent / "labels" / f"{image.stem}.txt") for image in images]
        both = [(image, label) for image, label in both if label.is_file()]
        if both:
            return both
    return []


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the example's data ready for upload.")
    parser.add_argument("target", type=Path, help="the folder to write")
    parser.add_argument("--source", type=Path, help="a zip file or folder in coco8-pose's layout, instead of drawings")
    parser.add_argument("--train", type=int, default=COUNTS["train"], help="drawn training images")
    parser.add_argument("--seed", type=int, default=0, help="another seed, other drawings")
    arguments = parser.parse_args()
    if arguments.source is not None and not arguments.source.exists():
        sys.exit(f"There is no {arguments.source}.")
    shutil.rmtree(arguments.target, ignore_errors=True)
    if arguments.source is None:
        draw(arguments.target, {**COUNTS, "train": arguments.train}, arguments.seed)
    else:
        take(arguments.source, arguments.target)
    for split in COUNTS:
        print(f"{split}: {len(list((arguments.target / split / 'images').iterdir()))} images")


if __name__ == "__main__":
    main()
