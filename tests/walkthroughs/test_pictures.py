"""The pictures: well-formed, alone in the world, and of one style in every theme."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.walkthroughs.pages import FOLDER, STEPS
from trickster_engine.config import preset_names, preset_plan
from trickster_engine.config.shapes import count_parameters
from trickster_engine.evaluation.report.architecture import architecture_picture

PICTURES = sorted((FOLDER / "pictures").glob("*.svg"))
SVG = "{http://www.w3.org/2000/svg}"


def test_there_is_one_for_each_step() -> None:
    assert {picture.stem for picture in PICTURES if not picture.stem.startswith("kept-")} == set(STEPS)


@pytest.mark.parametrize("picture", PICTURES, ids=lambda p: p.stem)
def test_a_picture_is_whole_and_needs_nothing(picture: Path) -> None:
    text = picture.read_text(encoding="utf-8")
    root = ET.fromstring(text)
    assert root.tag == f"{SVG}svg"
    assert root.findtext(f"{SVG}title")
    assert root.findtext(f"{SVG}desc")
    assert text.replace("http://www.w3.org/2000/svg", "").count("://") == 0
    assert not re.search(r"<script|<image|<foreignObject|@import|url\(|href=", text)


@pytest.mark.parametrize("picture", PICTURES, ids=lambda p: p.stem)
def test_a_picture_takes_its_colours_from_the_theme(picture: Path) -> None:
    text = picture.read_text(encoding="utf-8")
    body = text[text.index("</style>") :]
    assert not re.search(r"#[0-9a-fA-F]{3,8}\b|rgb\(|(fill|stroke)=\"(?!none)", body)
    first = PICTURES[0].read_text(encoding="utf-8")
    (style,), (common,) = (re.findall(r"<style>.*?</style>", each, re.DOTALL) for each in (text, first))
    assert style == common


@pytest.mark.parametrize("scheme", ["light", "dark", "high contrast", "high contrast dark"])
def test_text_can_be_read_in_every_theme(scheme: str) -> None:
    names = ("card", "edge", "ink", "soft", "line", "blue", "green", "purple", "orange")
    pattern = r"\s+".join(rf"--{name}: (#\w+);" for name in names)
    palettes = re.findall(pattern, PICTURES[0].read_text(encoding="utf-8"))
    order = ("light", "dark", "high contrast", "high contrast dark")
    card, edge, ink, soft, line, *hues = palettes[order.index(scheme)]
    # VS Code's pages show a picture as an image, to which a high-contrast theme is merely dark or light: the ordinary
    # palettes have to do for it.
    assert _contrast(card, ink) >= 7
    assert _contrast(card, soft) >= 7
    assert _contrast(card, line) >= 4.5
    assert _contrast(card, edge) >= 3
    assert all(_contrast(card, hue) >= 4.5 for hue in hues)


@pytest.mark.parametrize("picture", PICTURES, ids=lambda p: p.stem)
def test_nothing_lies_outside_the_frame(picture: Path) -> None:
    root = ET.fromstring(picture.read_text(encoding="utf-8"))
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    for element in root.iter():
        if element.tag == f"{SVG}rect":
            x, y = float(element.attrib["x"]), float(element.attrib["y"])
            assert 0 <= x <= x + float(element.attrib["width"]) <= width
            assert 0 <= y <= y + float(element.attrib["height"]) <= height
        if element.tag == f"{SVG}text":
            x, y = float(element.attrib["x"]), float(element.attrib["y"])
            size = 13 if element.attrib.get("class") in ("soft", "code") else 15
            reach = 0.5 * size * len(element.text or "")  # letters are about half as wide as high
            anchor = element.attrib.get("text-anchor", "start")
            left = x - {"start": 0.0, "middle": reach / 2, "end": reach}[anchor]
            assert left >= 0
            assert left + reach <= width
            assert size * 0.7 <= y <= height


def _contrast(one: str, other: str) -> float:
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_the_model_s_picture_is_drawn_from_its_config() -> None:
    expected = architecture_picture(preset_plan("nano").model)
    assert (FOLDER / "pictures" / "model.svg").read_text(encoding="utf-8") == expected


@pytest.mark.parametrize("name", preset_names())
def test_any_model_can_be_drawn(name: str) -> None:
    model = preset_plan(name).model
    text = architecture_picture(model)
    ET.fromstring(text)
    counts = count_parameters(model)
    for shown in (counts.per_block, counts.embedding, counts.per_block * model.num_layers):
        assert f"{shown:,} parameters" in text
