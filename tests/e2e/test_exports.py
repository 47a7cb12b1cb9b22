"""What is saved from a chart is whole: a picture, a drawing, a table of the numbers."""

import csv
import io
from xml.etree import ElementTree as ET

import pytest
from PIL import Image


@pytest.fixture
def save(tab):
    """Saves the heatmap of a run in one of the formats, and returns name and content."""

    def save(kind, run="raised-lr", view="flow"):
        tab.open(view=view, run=run)
        tab.wait_until_drawn("Gradient norm")
        tab.role("button", "Table and export of Gradient norm").first.click()
        with tab.page.expect_download() as download:
            tab.role("menuitem", f"Save as {kind}").click()
        return download.value.suggested_filename, download.value.path().read_bytes()

    return save


def test_a_png_holds_the_picture(save):
    name, content = save("PNG")
    assert name == "Gradient-norm.png"
    image = Image.open(io.BytesIO(content)).convert("RGB")
    assert image.width > 600
    assert len(image.getcolors(maxcolors=image.width * image.height) or ()) > 50


def test_an_svg_is_well_formed_and_names_its_layers(save):
    name, content = save("SVG")
    assert name == "Gradient-norm.svg"
    root = ET.fromstring(content)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    texts = {element.text for element in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {"Gradient norm", "fc1", "head"} <= texts


def test_a_csv_has_a_line_for_each_record(save, recorded):
    name, content = save("CSV")
    assert name == "Gradient-norm.csv"
    rows = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"))))
    assert [int(row["last step"]) for row in rows] == recorded("raised-lr")
    assert float(rows[0]["fc1"]) > 0
    assert float(rows[-1]["fc1"]) == 0


def test_a_svg_of_hostile_names_is_well_formed_and_holds_no_script(save):
    _name, content = save("SVG", run="<img src=x onerror=alert(1)>")
    root = ET.fromstring(content)
    assert not [element for element in root.iter() if element.tag.endswith(("}script", "}img", "}foreignObject"))]


def test_a_csv_of_hostile_names_keeps_its_columns(save):
    _name, content = save("CSV", run="<img src=x onerror=alert(1)>")
    header, *rows = csv.reader(io.StringIO(content.decode("utf-8-sig")))
    assert len(header) == 2 + 7
    assert {len(row) for row in rows} == {len(header)}
