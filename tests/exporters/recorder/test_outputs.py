"""Outputs go along with the records of the parameters; classes add up to those of all observed steps."""

import numpy as np
import pytest

from tb_netviz.events import MemorySink
from tb_netviz.recorder import ALL_COLUMNS, OUTPUT_IDS, OutputValues, Recorder
from tb_netviz_plugin.schema import description as schema
from tb_netviz_plugin.schema.columns import OUTPUT_COLUMNS, Merge
from tb_netviz_plugin.schema.tags import Family
from tests.support.events import descriptions, of_family, records


def columns_at(step):
    """Return columns that are all different, and differ from step to step."""
    values = 1.0 + np.arange(len(OUTPUT_IDS)) + 100.0 * np.sin(step + 1) ** 2
    values[3] = np.nan
    return values


def classes_at(step, classes=3):
    return np.full((classes, 3), step + 1.0) + np.arange(3)


def train(recorder, steps, classes=classes_at, seen=lambda _step: True):
    for step in steps:
        values = np.zeros((1, len(ALL_COLUMNS)), np.float32)
        outputs = OutputValues(columns_at(step), classes(step)) if seen(step) else None
        recorder.observe(step, values, outputs=outputs)
        recorder.finish_step(step, 1e-2, 1e-4)


@pytest.fixture
def sink():
    return MemorySink()


@pytest.fixture
def recorder(sink):
    recorder = Recorder(sink, every=1, model="net")
    rows = (schema.Parameter("weight", 0, (2, 2)),)
    recorder.describe(schema.RunDescription("tb-netviz", "numpy", modules=(schema.Module("net"),), parameters=rows))
    return recorder


def only(event, family):
    (array,) = of_family(event, family).values()
    return array


def test_the_description_says_where_they_stand(sink, recorder):
    train(recorder, range(1))
    ((_, _, described),) = descriptions(sink.events)
    (chunk,) = (chunk for chunk in described.chunks if chunk.family == Family.OUTPUTS)
    assert (chunk.first_row, chunk.rows, chunk.columns) == (0, 1, OUTPUT_IDS)
    assert set(of_family(records(sink.events)[0], Family.OUTPUTS)) == {chunk.tag}


def test_a_record_of_one_step_has_one_plane(sink, recorder):
    train(recorder, range(3))
    for step, event in enumerate(records(sink.events)):
        np.testing.assert_array_equal(only(event, Family.OUTPUTS), columns_at(step).astype(np.float32))


def test_steps_fold_as_the_catalogue_says(sink, recorder):
    train(recorder, range(1024, 1032))
    (event,) = records(sink.events)
    centre, low, high = only(event, Family.OUTPUTS)
    steps = np.stack([columns_at(step).astype(np.float32).astype(np.float64) for step in range(1024, 1032)])
    expected = {
        Merge.SUM: steps.mean(0),
        Merge.ROOT_SQUARE: np.sqrt((steps**2).mean(0)),
        Merge.MAX: steps.max(0),
        Merge.MIN: steps.min(0),
    }
    for place, column in enumerate(OUTPUT_COLUMNS):
        assert centre[place] == pytest.approx(expected[column.merge][place], rel=1e-6, nan_ok=True), column.id
    np.testing.assert_allclose(low, steps.min(0))
    np.testing.assert_allclose(high, steps.max(0))


def test_a_record_without_outputs_has_none(sink, recorder):
    train(recorder, range(4), seen=lambda step: step == 2)
    assert [bool(of_family(event, Family.OUTPUTS)) for event in records(sink.events)] == [False, False, True, False]


def test_classes_are_in_the_first_and_every_eighth_record_and_add_up(sink, recorder):
    train(recorder, range(20))
    recorder.close()
    found = [(event.step, only(event, Family.CLASSES)) for event in sink.events if of_family(event, Family.CLASSES)]
    assert [step for step, _ in found] == [0, 8, 16, 19]
    np.testing.assert_allclose(found[1][1], sum(classes_at(step) for step in range(1, 9)))
    np.testing.assert_allclose(sum(array for _, array in found), sum(classes_at(step) for step in range(20)))


def test_nothing_is_left_after_a_record_with_classes(sink, recorder):
    train(recorder, range(9))
    recorder.close()
    assert [event.step for event in sink.events if of_family(event, Family.CLASSES)] == [0, 8]


def test_another_number_of_classes_is_left_out_until_the_next_record(sink, recorder):
    train(recorder, range(17), classes=lambda step: classes_at(step, 3 if step < 12 else 5))
    found = [of_family(event, Family.CLASSES) for event in sink.events if of_family(event, Family.CLASSES)]
    assert [array.shape for arrays in found for array in arrays.values()] == [(3, 3)] * 3
    np.testing.assert_allclose(next(iter(found[2].values())), sum(classes_at(step) for step in range(9, 12)))


def test_steps_without_classes_have_none(sink, recorder):
    train(recorder, range(10), classes=lambda _step: None)
    recorder.close()
    assert not any(of_family(event, Family.CLASSES) for event in sink.events)


@pytest.mark.filterwarnings("error")
def test_losses_beyond_float32_are_infinite_and_no_warning(recorder, sink):
    train(recorder, range(2), classes=lambda step: np.full((3, 3), 1e300))
    recorder.flush()
    assert any(np.isinf(only(event, Family.CLASSES)).all() for event in sink.events if of_family(event, Family.CLASSES))
