"""Activation maps: what a person does with them, over both loaders."""

import csv
import io
import re

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from tb_netviz_plugin.schema.description import Omission
from tb_netviz_plugin.schema.probe import MapKind
from tests.e2e.test_accessibility import violations
from tests.support.apps import decode_frame
from tests.support.probes import Maps, digits, probe, source, write_maps, write_probe
from tests.support.runs import HOSTILE_NAMES, RunFile, dense_layers, describe, observe, random_gradients, write_run
from tests.support.servers import tensorboard

STEPS = (0, 10, 20, 40, 80)
LAYERS = ("blocks.0", "blocks.1", "blocks.2")
CHANNELS, SILENT, CONSTANT, ILL, PARTLY = 12, 3, 4, 5, 6
MANY = 600
HOSTILE = "<img src=x onerror=alert(1)>"


def values_of(one, step, samples=4):
    """Return maps that have both signs; in each module with enough of them one is zero, one constant, two have NaN."""
    rng = np.random.default_rng([step, one.maps, one.height])
    values = rng.standard_normal((samples, one.maps, one.height, one.width))
    values *= np.linspace(0.2, 3.0, one.maps)[None, :, None, None] * (1 + step / 40)
    if one.kind == MapKind.ATTENTION:
        values = np.exp(values) / np.exp(values).sum(axis=-1, keepdims=True)
    elif one.maps > PARTLY:
        values[:, SILENT], values[:, CONSTANT], values[:, ILL] = 0.0, 2.5, np.nan
        values[:, PARTLY, 1, :2] = np.nan
    return values


def write_probed(folder, sources, *, layers=3, inputs=None, **changes):
    """Write a run that has a record, and maps of all `sources`, at each step."""
    description = probe(sources, **changes)
    network = describe(dense_layers(layers) if isinstance(layers, int) else layers)
    rng = np.random.default_rng(0)
    weights = random_gradients(network, rng)
    with RunFile(folder) as file:
        file.describe(network)
        write_probe(file, 0, description, digits(side=16) if inputs is None else inputs)
        for step in STEPS:
            gradients = random_gradients(network, rng, 0.1)
            file.record(network, step, observe(gradients, weights, gradients))
            file.metric("loss/train", step, 1 / (1 + step), role="train_loss")
            write_maps(file, step, [Maps(one, values_of(one, step)) for one in sources])


@pytest.fixture(scope="module", params=[True, False], ids=["rust", "python"])
def probed(request, tmp_path_factory):
    """Returns a server over runs with probes, and one without."""
    folder = tmp_path_factory.mktemp("maps")
    sources = [source(name, MapKind.FEATURE_MAP, CHANNELS, 16, 16) for name in LAYERS]
    others = [
        source("wide", MapKind.FEATURE_MAP, MANY, 4, 4),
        source("encoder.attn", MapKind.ATTENTION, 4, 9, 9),
        source("lstm", MapKind.HIDDEN, 1, 24, 9),
        source("blocks.2", MapKind.GRAD_CAM, 1, 8, 8),
    ]
    omissions = (Omission("lstm", "its 64 units are averaged down to 24"),)
    write_probed(folder / "probed", [*sources, *others], omissions=omissions)
    write_probed(folder / "other", [source("blocks.0", MapKind.FEATURE_MAP, CHANNELS - 4, 8, 8)])
    hostile = {name or "weight": {"weight": (3, 3)} for name in HOSTILE_NAMES}
    named = [source(name, MapKind.FEATURE_MAP, 2, 4, 4, name=HOSTILE) for name in hostile]
    labels = [HOSTILE, "a\nb", "x" * 300, "\u202ereversed"]
    write_probed(folder / HOSTILE, named, layers=hostile, name=HOSTILE, labels=labels)
    write_run(folder / "plain")
    with tensorboard(folder, load_fast=request.param) as running:
        running.wait_for_runs("probed", "other", HOSTILE, last_step=STEPS[-1])
        running.wait_for_runs("plain", last_step=19)
        yield running


@pytest.fixture
def maps(open_page, probed):
    """Opens the maps of a run, and waits until some are drawn."""

    def maps(run="probed", *, viewport=None, **selection):
        tab = open_page(probed, **({"viewport": viewport} if viewport else {}))
        tab.open(view="activations", section="maps", run=run, **selection)
        grid(tab).wait_for()
        tab.wait_for(DRAWN)
        return tab

    return maps


DRAWN = """
() => {
    const canvas = document.querySelector('.map-grid canvas');
    if (!canvas?.width || !canvas.height) return false;
    const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
    return new Set(new Uint32Array(pixels.buffer)).size > 16;
}
"""


def grid(tab):
    return tab.page.frame_locator("iframe").locator("[aria-roledescription='grid of maps']")


def spoken(tab):
    return tab.page.frame_locator("iframe").locator("p[aria-live]")


def page(server, name="blocks.0", *, step=STEPS[-1], sample=0, run="probed", **more):
    """Return the arrays that the server has of a module."""
    listed = server.plugin_json("probes", run=run)["probes"][0]
    index = next(number for number, one in enumerate(listed["maps"]) if one["module"] == name)
    asked = {"run": run, "probe": listed["name"], "map": index, "step": step, "sample": sample, "count": 256}
    return decode_frame(server.plugin("maps", **(asked | more)))[1]


def csv_of(tab):
    tab.role("button", re.compile("^Table and export of ")).first.click()
    with tab.page.expect_download() as download:
        tab.role("menuitem", "Save as CSV").click()
    return list(csv.DictReader(io.StringIO(download.value.path().read_text("utf-8-sig"))))


def test_it_opens_on_the_newest_maps_and_says_what_they_take(maps, probed):
    tab = maps(layer="blocks.1")
    expect(grid(tab)).to_have_accessible_name(re.compile(r"^blocks\.1 at step 80: 12 maps"))
    recorded = tab.role("region", "What this probe takes")
    taken = probed.plugin_json("probes", run="probed")["probes"][0]["bytes"]
    assert taken > 0
    expect(recorded).to_contain_text("5 steps, 7 modules")
    expect(recorded).to_contain_text(f"{taken / 1024:.0f} KiB of the budget of 64 MiB")
    expect(recorded).to_contain_text("lstm: its 64 units are averaged down to 24")
    expect(tab.role("option")).to_have_text(["three", "five", "eight", "nine"])


def test_a_link_opens_module_input_step_and_comparison(maps):
    tab = maps(map="attention:encoder.attn", sample=2, step=20, against="step:0")
    expect(grid(tab)).to_have_accessible_name(re.compile(r"^encoder\.attn at step 20: 4 maps"))
    expect(tab.role("option", "eight")).to_have_attribute("aria-selected", "true")
    expect(tab.role("button", re.compile("^Comparison: "))).to_contain_text("Compared with step 0")


def test_the_keyboard_goes_through_maps_and_shows_one_large(maps, probed):
    tab = maps(layer="blocks.0")
    grid(tab).focus()
    tab.page.keyboard.press("Home")
    for _ in range(2):
        tab.page.keyboard.press("ArrowRight")
    low, high = page(probed)["ranges"][2]
    expect(spoken(tab)).to_contain_text(f"channel 2 · −{-low:.3g} to {high:.3g} · strength")
    tab.page.keyboard.press("Enter")
    large = tab.role("region", "Channel 2 of blocks.0")
    expect(large).to_contain_text(f"{high:.3g}")
    expect(large).to_contain_text("of 12")
    expect(large).to_contain_text("at 5 steps")
    tab.page.keyboard.press("ArrowRight")
    large = tab.role("region", "Channel 3 of blocks.0")
    expect(large).to_contain_text("constant 0")
    tab.page.keyboard.press("Escape")
    expect(large).to_have_count(0)
    expect(grid(tab)).to_be_focused()


def test_single_values_can_be_read_with_the_keyboard(maps, probed):
    tab = maps(layer="blocks.0")
    grid(tab).focus()
    tab.page.keyboard.press("Enter")
    values = tab.page.frame_locator("iframe").locator("[aria-roledescription=map]")
    values.focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowDown"):
        tab.page.keyboard.press(key)
    arrays = page(probed)
    low, high = (float(bound) for bound in arrays["ranges"][0])
    value = low + arrays["pictures"][0, 1, 1] / 255 * (high - low)
    expect(spoken(tab)).to_contain_text(f"row 1, column 1: {value:.3g}".replace("-", "−"))


def test_marks_are_said_in_words(maps):
    tab = maps(layer="blocks.0")
    grid(tab).focus()
    tab.page.keyboard.press("Home")
    for index, words in ((SILENT, "constant 0"), (CONSTANT, "constant 2.5"), (ILL, "NaN or infinite")):
        while not spoken(tab).inner_text().startswith(f"channel {index} "):
            tab.page.keyboard.press("ArrowRight")
            tab.page.wait_for_timeout(300)
        expect(spoken(tab)).to_contain_text(words)
    expect(tab.role("img", re.compile("^Colours of the maps"))).to_have_accessible_name(re.compile("zero, NaN"))


def test_the_slider_goes_through_the_steps_of_the_probe(maps):
    tab = maps(layer="blocks.0", step=20)
    slider = tab.role("slider", "Recorded maps")
    slider.focus()
    tab.page.keyboard.press("ArrowRight")
    tab.wait_for_selection("step", 40)
    expect(slider).to_have_attribute("aria-valuetext", "step 40, 4 of 5")
    expect(grid(tab)).to_have_accessible_name(re.compile("at step 40"))
    tab.page.keyboard.press("Home")
    tab.wait_for_selection("step", 0)


def test_playing_ends_at_the_newest_step(maps):
    tab = maps(layer="blocks.0", step=0)
    tab.role("button", "Play the maps").click()
    expect(tab.role("slider", "Recorded maps")).to_have_attribute("aria-valuetext", "step 80, 5 of 5")
    tab.role("button", "Play the maps").wait_for()


def test_a_step_between_shows_what_was_recorded_before_and_says_so(maps):
    tab = maps(layer="blocks.0", step=35)
    expect(grid(tab)).to_have_accessible_name(re.compile("at step 20"))
    notes = tab.page.frame_locator("iframe").locator(".maps-notes")
    expect(notes).to_contain_text("Maps were recorded at step 20, not at 35.")


def test_maps_are_sorted_by_strength_and_stay_so_while_steps_go_by(maps, probed):
    tab = maps(layer="blocks.0", step=40)
    tab.role("button", "Strength", exact=True).click()
    strength = page(probed, step=40)["strength"]
    expected = [ILL, *(int(index) for index in np.argsort(-np.nan_to_num(strength), kind="stable") if index != ILL)]
    notes = tab.page.frame_locator("iframe").locator(".maps-notes")
    expect(notes).to_contain_text("Sorted by strength at step 40.")
    assert [int(row["map"]) for row in csv_of(tab)] == expected
    tab.role("slider", "Recorded maps").focus()
    tab.page.keyboard.press("Home")
    expect(grid(tab)).to_have_accessible_name(re.compile("at step 0"))
    assert [int(row["map"]) for row in csv_of(tab)] == expected


def test_the_table_and_the_csv_hold_ranges_and_strengths(maps, probed):
    tab = maps(layer="blocks.0")
    arrays = page(probed)
    for index, row in enumerate(csv_of(tab)):
        assert int(row["not finite"]) == {ILL: 16 * 16, PARTLY: 2}.get(index, 0)
        if index == ILL:
            assert (row["min"], row["max"], row["strength"]) == ("non-finite",) * 3
            continue
        assert [float(row["min"]), float(row["max"])] == pytest.approx(list(arrays["ranges"][index]), rel=1e-6)
        assert float(row["strength"]) == pytest.approx(float(arrays["strength"][index]), rel=1e-6)
    grid(tab).focus()
    tab.page.keyboard.press("t")
    table = tab.role("region", "blocks.0 at step 80, table")
    expect(table.get_by_role("columnheader")).to_have_text(["map", "min", "max", "strength", "not finite"])
    expect(table.get_by_role("row").nth(CONSTANT + 1).get_by_role("cell")).to_have_text(["4", "2.5", "2.5", "2.5", "0"])


def test_a_map_says_how_many_of_its_values_are_not_finite(maps):
    tab = maps(layer="blocks.0")
    grid(tab).focus()
    tab.page.keyboard.press("Home")
    for _ in range(PARTLY):
        tab.page.keyboard.press("ArrowRight")
    expect(spoken(tab)).to_contain_text("2 not finite")
    tab.page.keyboard.press("Enter")
    values = tab.page.frame_locator("iframe").locator("[aria-roledescription=map]")
    values.focus()
    for key in ("ArrowRight", "ArrowDown"):
        tab.page.keyboard.press(key)
    expect(spoken(tab)).to_contain_text("row 1, column 0")
    expect(spoken(tab)).to_contain_text("or not finite")


def test_a_png_holds_the_maps(maps):
    tab = maps(layer="blocks.0")
    tab.role("button", re.compile("^Table and export of ")).first.click()
    with tab.page.expect_download() as download:
        tab.role("menuitem", "Save as PNG").click()
    assert download.value.suggested_filename == "blocks.0-at-step-80.png"
    image = Image.open(download.value.path()).convert("RGB")
    assert len(image.getcolors(maxcolors=image.width * image.height) or ()) > 100


def test_each_scale_says_what_it_was_taken_from(maps, probed):
    tab = maps(layer="blocks.0")
    notes = tab.page.frame_locator("iframe").locator(".maps-notes")
    legend = tab.role("img", re.compile("^Colours of the maps"))
    expect(notes).to_contain_text("Each channel over its own range")
    first = float(np.abs(page(probed)["ranges"][0]).max())
    expect(legend).to_have_accessible_name(re.compile(f"−{first:.3g} to {first:.3g};"))
    tab.role("button", "This step").click()
    expect(notes).to_contain_text("The same for all 12 channels at this step")
    shown = float(np.nanmax(np.abs(page(probed)["ranges"])))
    expect(legend).to_have_accessible_name(re.compile(f"−{shown:.3g} to {shown:.3g};"))
    tab.role("button", "Steps loaded").click()
    notes.get_by_role("button", name="Load all 5 steps").click()
    expect(notes).to_contain_text("The same at the 5 steps loaded, of 5")
    largest = max(float(np.nanmax(np.abs(page(probed, step=step)["ranges"]))) for step in STEPS)
    expect(legend).to_have_accessible_name(re.compile(f"−{largest:.3g} to {largest:.3g};"))


def test_attention_has_no_signs_and_its_own_words(maps):
    tab = maps(map="attention:encoder.attn")
    expect(tab.role("img", re.compile("^Colours of the maps"))).to_have_accessible_name(re.compile(": 0.0"))
    grid(tab).focus()
    tab.page.keyboard.press("Enter")
    values = tab.page.frame_locator("iframe").locator("[aria-roledescription=map]")
    values.focus()
    tab.page.keyboard.press("ArrowRight")
    expect(spoken(tab)).to_contain_text("query 0, key 0: 0.")
    tab.role("button", "What are Attention?").click()
    expect(tab.page.frame_locator("iframe").locator(".sheet")).to_contain_text("adds up to one")


def test_two_steps_stand_side_by_side(maps, probed):
    tab = maps(layer="blocks.0", step=20)
    tab.role("button", re.compile("^Comparison: ")).click()
    tab.role("menuitemradio", "Step 20 of this run").click()
    tab.wait_for_selection("against", "step:20")
    tab.role("slider", "Recorded maps").focus()
    tab.page.keyboard.press("End")
    grid(tab).focus()
    expect(spoken(tab)).to_contain_text("step 20: ")
    rows = csv_of(tab)
    assert list(rows[0]) == [
        "map",
        *(f"{name}, step {step}" for step in (80, 20) for name in ("min", "max", "strength", "not finite")),
    ]
    then = float(page(probed, step=20)["strength"][0])
    assert float(rows[0]["strength, step 20"]) == pytest.approx(then, rel=1e-6)
    tab.role("button", "Compare with the maps recorded before").click()
    tab.wait_for_selection("against", "step:10")


def test_two_runs_stand_side_by_side(maps, probed):
    tab = maps(layer="blocks.0")
    tab.role("button", re.compile("^Comparison: ")).click()
    tab.role("menuitemradio", "Run other").click()
    grid(tab).focus()
    expect(spoken(tab)).to_contain_text("other, step 80: ")
    tab.page.keyboard.press("End")
    expect(spoken(tab)).to_contain_text("other, step 80: there is no such map")
    rows = csv_of(tab)
    theirs = page(probed, run="other")["strength"]
    assert float(rows[0]["strength, other, step 80"]) == pytest.approx(float(theirs[0]), rel=1e-6)
    assert rows[-1]["strength, other, step 80"] == ""
    tab.role("button", re.compile("^Module: ")).click()
    tab.role("menuitemradio", re.compile("^encoder.attn")).click()
    expect(tab.page.frame_locator("iframe").locator(".maps-notes")).to_contain_text("Other has no maps of")


def test_a_large_module_is_read_as_far_as_one_scrolls_and_nothing_is_left_out(maps, probed):
    tab = maps(map="feature_map:wide")
    grid(tab).focus()
    tab.page.keyboard.press("End")
    low, high = page(probed, "wide", first=512)["ranges"][MANY - 1 - 512]
    expect(spoken(tab)).to_contain_text(f"channel 599 · −{-low:.3g} to {high:.3g}")
    assert tab.frame.evaluate("document.querySelector('.map-grid .chart-scroller').scrollTop") > 0
    assert len(csv_of(tab)) == MANY


def test_maps_can_be_chosen_by_number_and_by_strength(maps):
    tab = maps(layer="blocks.0")
    field = tab.role("textbox", "Numbers of maps to show")
    field.fill("2, 9-")
    expect(grid(tab)).to_have_accessible_name(re.compile(": 4 maps"))
    assert [row["map"] for row in csv_of(tab)] == ["2", "9", "10", "11"]
    field.fill("two")
    expect(tab.page.frame_locator("iframe").get_by_text("Type numbers of maps")).to_be_visible()
    field.fill("")
    tab.role("button", "Show: All maps").click()
    tab.role("menuitemradio", "Those that are zero everywhere").click()
    assert [row["map"] for row in csv_of(tab)] == [str(SILENT)]


def test_a_map_lies_over_the_input(maps):
    tab = maps(layer="blocks.0")
    chosen = tab.page.frame_locator("iframe").locator(".chosen-input canvas")
    expect(chosen).to_have_count(1)
    tab.role("button", re.compile("^Picture: ")).click()
    tab.role("menuitemradio", re.compile("^Grad-CAM")).click()
    expect(chosen).to_have_count(2)
    opacity = tab.role("slider", "Opacity")
    opacity.focus()
    tab.page.keyboard.press("Home")
    expect(chosen.nth(1)).to_have_css("opacity", "0")


def test_inputs_are_chosen_with_the_keyboard(maps, probed):
    tab = maps(layer="blocks.0")
    tab.role("listbox", "Inputs of the probe").focus()
    tab.page.keyboard.press("ArrowDown")
    tab.wait_for_selection("sample", 1)
    second = float(page(probed, sample=1)["strength"][0])
    expect(tab.page.frame_locator("iframe").locator(".maps-inputs > h3")).to_contain_text("five")
    grid(tab).focus()
    expect(spoken(tab)).to_contain_text(f"strength {second:.3g}")


def test_the_selected_layer_and_the_module_go_together(maps):
    tab = maps(layer="blocks.0")
    tab.role("button", re.compile("^Module: ")).click()
    tab.role("menuitemradio", re.compile(r"^blocks\.2 · Feature maps")).click()
    tab.wait_for_selection("layer", "blocks.2")
    tab.page.keyboard.press("ArrowUp")
    tab.wait_for_selection("layer", "blocks.1")
    expect(grid(tab)).to_have_accessible_name(re.compile(r"^blocks\.1 at step 80"))


def test_a_layer_that_is_selected_in_another_view_brings_its_maps(maps):
    tab = maps(layer="blocks.0")
    tab.role("link", "Gradient flow").click()
    tab.wait_until_drawn("Gradient norm")
    tab.heatmap("Gradient norm").focus()
    tab.page.keyboard.press("ArrowDown")
    tab.wait_for_selection("layer", "blocks.1")
    tab.role("link", "Activations").click()
    expect(grid(tab)).to_have_accessible_name(re.compile(r"^blocks\.1 at step 80"))


def test_a_run_without_maps_says_how_to_record_them(open_page, probed):
    tab = open_page(probed).open(view="activations", section="maps", run="plain")
    notice = tab.role("region", "No activation maps were recorded in this run")
    expect(notice).to_contain_text("writer.watch_activation_maps(inputs)")
    expect(notice).to_contain_text("were not recorded either: they come with writer.watch(model, optimizer)")


def test_names_of_probes_modules_and_inputs_are_text(maps):
    tab = maps(HOSTILE)
    expect(tab.page.frame_locator("iframe").locator(".maps-inputs > h3")).to_contain_text(HOSTILE)
    tab.role("button", re.compile("^Module: ")).click()
    tab.role("menuitemradio", "../../etc/passwd").click()
    expect(grid(tab)).to_have_accessible_name(re.compile(r"^\.\./\.\./etc/passwd at step 80"))
    assert len(csv_of(tab)) == 2
    assert tab.frame.locator("img, iframe, [onerror]").count() == 0


@pytest.mark.parametrize("width", [720, 1440])
def test_everything_stays_within_the_width(maps, width):
    tab = maps(layer="blocks.0", against="step:10", viewport={"width": width, "height": 900})
    grid(tab).focus()
    tab.page.keyboard.press("Enter")
    tab.role("region", "Channel 0 of blocks.0").wait_for()
    assert tab.frame.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert tab.frame.evaluate(
        "[...document.querySelectorAll('.maps-stage, .maps-zoom, .maps-inputs')].every((one) =>"
        " one.scrollWidth <= one.clientWidth)"
    )


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_all_of_it_is_accessible(maps, theme):
    tab = maps(layer="blocks.0", against="run:other", step=35)
    if theme == "dark":
        tab.page.evaluate("document.body.classList.add('dark-mode')")
        tab.wait_for("() => document.documentElement.dataset.theme === 'dark'")
    tab.role("button", "Strength", exact=True).click()
    grid(tab).focus()
    tab.page.keyboard.press("Enter")
    tab.role("region", re.compile("^Channel . of")).wait_for()
    assert violations(tab) == []
    tab.role("button", re.compile("^Module: ")).click()
    assert violations(tab) == []
    tab.page.keyboard.press("Escape")
    grid(tab).focus()
    tab.page.keyboard.press("t")
    tab.role("region", re.compile("table$")).first.wait_for()
    assert violations(tab) == []


def test_a_run_without_maps_is_accessible(open_page, probed):
    tab = open_page(probed).open(view="activations", section="maps", run="plain")
    tab.role("region", "No activation maps were recorded in this run").wait_for()
    assert violations(tab) == []
