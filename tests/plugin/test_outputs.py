"""Outputs, targets and inputs from the event file to what rules read."""

import dataclasses
import math

import numpy as np
import pytest
from tensorboard.context import RequestContext

from tb_netviz_plugin.analysis.outputs import CLASS_INDICES, NO_TARGETS, NUMBERS
from tb_netviz_plugin.diagnosis import Case, needs
from tb_netviz_plugin.schema.codec import tensor_value
from tb_netviz_plugin.schema.columns import OUTPUT_COLUMNS
from tb_netviz_plugin.schema.description import class_tag, output_chunk
from tb_netviz_plugin.schema.tags import Family
from tests.support.ends import by_hand, classes_by_hand, cross_entropy, inputs_by_hand
from tests.support.runs import COLUMNS, START, RunFile, dense_layers, describe, write_run

IDS = tuple(column.id for column in OUTPUT_COLUMNS)
LATER = START + 1000


def described(model="", columns=IDS):
    description = describe(dense_layers(1), model=model, with_bins=False)
    chunks = (*description.chunks, output_chunk(model, columns))
    return dataclasses.replace(description, chunks=chunks, criterion="CrossEntropyLoss")


def write_record(file, description, step, columns, classes=None):
    """Write a record of the parameters, and one of the outputs, in one event."""
    with_outputs = description.chunks[-1]
    row = np.array([columns.get(name, math.nan) for name in with_outputs.columns], np.float32)
    parameters = np.zeros((len(description.parameters), len(COLUMNS)))
    values = []
    file_values, file.values = file.values, lambda _step, those: values.extend(those)
    file.record(description, step, parameters)
    file.values = file_values
    values.append(tensor_value(with_outputs.tag, Family.OUTPUTS, row))
    if classes is not None:
        tag = class_tag(description.model, len(classes))
        values.append(tensor_value(tag, Family.CLASSES, classes.astype(np.float32)))
    file.values(step, values)


def samples(step, classes=4):
    rng = np.random.default_rng(step)
    return rng.standard_normal((20, classes)) * 3, rng.integers(0, classes, 20), rng.standard_normal((20, 5)) * 2 + 1


def columns_of(step):
    rows, labels, inputs = samples(step)
    return by_hand(rows, labels, 1) | inputs_by_hand(inputs)


def write(folder, steps, description=None, start=START, columns=columns_of):
    description = description or described()
    with RunFile(folder, start=start) as file:
        file.describe(description)
        for step in steps:
            rows, labels, _ = samples(step)
            write_record(file, description, step, columns(step), classes_by_hand(rows, labels))


def outputs_of(case):
    return case.outputs


def classes_of(case):
    return case.classes


def read(app, name="run"):
    return app.plugin._reader.run(RequestContext(), "", name)


def test_means_and_shares_follow_from_the_columns(tmp_path, open_logdir):
    write(tmp_path / "run", range(4))
    case = Case(read(open_logdir(tmp_path)))
    found = outputs_of(case)
    np.testing.assert_array_equal(found.steps, case.steps)
    assert (case.criterion, found.criterion) == ("CrossEntropyLoss", "CrossEntropyLoss")
    for step in range(4):
        rows, labels, inputs = samples(step)
        losses = np.array([cross_entropy(row, label) for row, label in zip(rows, labels, strict=True)])
        for values, expected in ((found.outputs, rows), (found.targets, labels), (found.inputs, inputs)):
            assert values.mean[step] == pytest.approx(expected.mean(), rel=1e-5)
            assert values.std[step] == pytest.approx(expected.std(), rel=1e-5)
            assert (values.smallest[step], values.largest[step]) == pytest.approx((expected.min(), expected.max()))
            assert values.nonfinite[step] == 0
        assert found.samples[step] == found.labelled[step] == 20
        assert found.classes[step] == 4
        assert found.class_sum_smallest[step] == pytest.approx(rows.sum(1).min(), rel=1e-5)
        assert found.class_sum_largest[step] == pytest.approx(rows.sum(1).max(), rel=1e-5)
        assert found.accuracy[step] == pytest.approx((rows.argmax(1) == labels).mean())
        assert found.loss[step] == pytest.approx(losses.mean(), rel=1e-5)
        assert found.loss_std[step] == pytest.approx(losses.std(), rel=1e-4)
        assert found.loss_largest[step] == pytest.approx(losses.max(), rel=1e-5)
        assert (found.target_kind[step], found.input_kind[step]) == (CLASS_INDICES, NUMBERS)
        assert found.feature_std_smallest[step] == pytest.approx(inputs.std(0).min(), rel=1e-5)
        assert found.feature_std_largest[step] == pytest.approx(inputs.std(0).max(), rel=1e-5)


def test_classes_are_read_beside_them(tmp_path, open_logdir):
    write(tmp_path / "run", range(3))
    found = classes_of(Case(read(open_logdir(tmp_path))))
    for step in range(3):
        expected = classes_by_hand(*samples(step)[:2])
        table = np.stack([found.targets[:, step], found.hits[:, step], found.losses[:, step]], axis=1)
        np.testing.assert_allclose(table, expected, rtol=1e-6)


def test_a_window_has_means_of_all_its_steps(tmp_path, open_logdir):
    description = described()
    steps = [np.array([columns_of(step)[name] for name in IDS]) for step in range(8)]
    roots = [column.merge == "root_square" for column in OUTPUT_COLUMNS]
    centre = np.where(roots, np.sqrt(np.mean(np.square(steps), 0)), np.mean(steps, 0))
    planes = np.stack([centre, np.min(steps, 0), np.max(steps, 0)]).astype(np.float32)
    with RunFile(tmp_path / "run") as file:
        file.describe(description)
        file.record(description, 7, np.zeros((len(description.parameters), len(COLUMNS))), span=8, observations=8)
        file.values(7, [tensor_value(description.chunks[-1].tag, Family.OUTPUTS, planes)])
    found = outputs_of(Case(read(open_logdir(tmp_path))))
    rows = np.concatenate([samples(step)[0] for step in range(8)])
    assert found.outputs.mean == pytest.approx([rows.mean()], rel=1e-4)
    assert found.outputs.std == pytest.approx([rows.std()], rel=1e-4)


def test_a_resumed_run_supersedes_what_lay_beyond(tmp_path, open_logdir):
    write(tmp_path / "run", (1, 2, 3, 4))
    write(tmp_path / "run", (3, 5), start=LATER, columns=lambda step: columns_of(10 + step))
    case = Case(read(open_logdir(tmp_path)))
    found = outputs_of(case)
    assert found.steps.tolist() == [1, 2, 3, 5]
    expected = [samples(step)[0].mean() for step in (1, 2, 13, 15)]
    assert found.outputs.mean == pytest.approx(expected, rel=1e-4)
    assert classes_of(case).steps.tolist() == [1, 2, 3, 5]


def test_records_without_outputs_are_unknown(tmp_path, open_logdir):
    description = described()
    with RunFile(tmp_path / "run") as file:
        file.describe(description)
        file.record(description, 0, np.zeros((len(description.parameters), len(COLUMNS))))
        write_record(file, description, 1, inputs_by_hand(samples(1)[2]))
    case = Case(read(open_logdir(tmp_path)))
    found = outputs_of(case)
    assert np.isnan(found.inputs.mean).tolist() == [True, False]
    assert np.isnan(found.outputs.mean).all()
    assert found.target_kind.tolist() == [NO_TARGETS] * 2
    assert case.classes is None


def test_a_run_without_outputs_has_none(tmp_path, open_logdir):
    write_run(tmp_path / "run")
    case = Case(read(open_logdir(tmp_path)))
    assert (case.outputs, case.classes, case.criterion) == (None, None, "")


def test_columns_of_another_version_are_ignored_and_unknown(tmp_path, open_logdir):
    columns = (*IDS[:8], "of_the_future")
    write(tmp_path / "run", range(2), described(columns=columns))
    found = outputs_of(Case(read(open_logdir(tmp_path))))
    assert found.outputs.mean == pytest.approx([samples(step)[0].mean() for step in range(2)], rel=1e-4)
    assert np.isnan(found.accuracy).all()


def test_a_damaged_record_of_outputs_costs_itself_only(tmp_path, open_logdir):
    description = described()
    write(tmp_path / "run", range(3), description)
    with RunFile(tmp_path / "run", start=LATER) as file:
        damaged = [np.zeros(len(IDS) - 1, np.float32), np.zeros((2, len(IDS)), np.float32)]
        for step, array in enumerate(damaged, start=10):
            file.values(step, [tensor_value(description.chunks[-1].tag, Family.OUTPUTS, array)])
    assert np.isfinite(outputs_of(Case(read(open_logdir(tmp_path)))).outputs.mean).sum() == 3


def test_the_first_model_that_has_outputs_is_the_one_that_rules_see(tmp_path, open_logdir):
    with RunFile(tmp_path / "gan") as file:
        silent = describe(dense_layers(1), model="generator")
        file.describe(silent)
        file.record(silent, 0, np.zeros((len(silent.parameters), len(COLUMNS))))
    write(tmp_path / "gan", range(2), described("critic"), start=LATER)
    case = Case(read(open_logdir(tmp_path), "gan"))
    assert outputs_of(case).model == classes_of(case).model == "critic"


WORDS = "targets: give watch the criterion"


@pytest.mark.parametrize(
    ("columns", "need", "reason"),
    [
        (columns_of, needs.outputs(WORDS, targets=True, classes=True), ""),
        (columns_of, needs.inputs, ""),
        (lambda step: by_hand(samples(step)[0]), needs.outputs(WORDS), ""),
        (lambda step: by_hand(samples(step)[0]), needs.outputs(WORDS, targets=True), f"no {WORDS}"),
        (
            lambda step: by_hand(samples(step)[0], samples(step)[0], 2),
            needs.outputs(WORDS, targets=True, classes=True),
            "the targets are no class indices",
        ),
        (lambda step: by_hand(samples(step)[0]), needs.inputs, "the inputs were not recorded"),
        (lambda step: inputs_by_hand(samples(step)[2]), needs.outputs(WORDS), f"no {WORDS}"),
    ],
)
def test_needs_say_in_words_what_is_missing(tmp_path, open_logdir, columns, need, reason):
    write(tmp_path / "run", range(2), columns=columns)
    assert need(Case(read(open_logdir(tmp_path)))) == reason


def test_what_a_run_lacks_is_said(tmp_path, open_logdir):
    write_run(tmp_path / "run")
    case = Case(read(open_logdir(tmp_path)))
    assert needs.outputs(WORDS)(case) == f"no {WORDS}"
    assert needs.inputs(case) == "the inputs were not recorded"
