"""The pictures of the README: taken anew with --pictures, and otherwise looked at."""

import pytest
from PIL import Image

from tests.support.servers import ROOT

PICTURES = {"light": "gradient-flow.png", "dark": "gradient-flow-dark.png"}
SIZE = {"width": 1440, "height": 900}


@pytest.mark.parametrize("theme", PICTURES)
def test_the_overview_of_the_worst_run_makes_a_picture(open_page, server, tmp_path, pytestconfig, theme):
    tab = open_page(server, viewport=SIZE, device_scale_factor=2)
    tab.open(view="overview", run="raised-lr")
    tab.wait_until_drawn("Gradient norm")
    if theme == "dark":
        tab.page.evaluate("document.body.classList.add('dark-mode')")
        tab.wait_for("() => document.documentElement.dataset.theme === 'dark'")
    tab.role("region", "Facts").get_by_role("button").first.click()
    tab.wait_until_drawn("Gradient norm")
    folder = pytestconfig.getoption("pictures") or tmp_path
    folder.mkdir(parents=True, exist_ok=True)
    tab.frame.locator("body").screenshot(path=folder / PICTURES[theme])
    with Image.open(folder / PICTURES[theme]) as picture:
        assert picture.width == 2 * SIZE["width"]
        small = picture.convert("RGB").resize((720, 450))
        assert len(small.getcolors(maxcolors=720 * 450) or ()) > 100


@pytest.mark.parametrize("name", PICTURES.values())
def test_the_pictures_of_the_readme_are_there(name):
    assert f"docs/images/{name}" in (ROOT / "README.md").read_text(encoding="utf-8")
    with Image.open(ROOT / "docs" / "images" / name) as picture:
        assert picture.width == 2 * SIZE["width"]
