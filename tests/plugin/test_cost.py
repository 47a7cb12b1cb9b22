"""What was spent is told record by record, and which values a metric stands on."""

import numpy as np

from tests.support.runs import Cost, RunFile, dense_layers, describe, observe, random_gradients


def write(file, description, step, cost, span=1):
    values = random_gradients(description, np.random.default_rng(step))
    file.record(description, step, observe(values, values, values), span=span, cost=cost)


def test_each_record_says_what_was_spent_since_the_one_before(tmp_path, open_logdir):
    description = describe(dense_layers(1))
    with RunFile(tmp_path / "run") as file:
        file.describe(description)
        write(file, description, 0, Cost(0.1, 0.01, 1, 0))
        write(file, description, 1, Cost(0.1, 0.02, 1, 0))
        write(file, description, 17, Cost(0.2, 0.002, 16, 3), span=1)
        write(file, description, 21, Cost(np.nan, np.nan, 16, 3))
    header, arrays = open_logdir(tmp_path).frame("cost", run="run")
    assert header["models"] == [""]
    assert arrays["0.steps"].tolist() == [0, 1, 17, 21]
    assert arrays["0.spans"].tolist() == [1, 1, 16, 4]
    np.testing.assert_allclose(arrays["0.fraction"], [0.1, 0.2, 0.01, np.nan], rtol=1e-6)
    assert arrays["0.interval"].tolist() == [1, 1, 16, 16]
    assert arrays["0.dropped"].tolist() == [0, 0, 3, 3]


def test_models_have_each_their_own_and_what_a_resumed_run_repeats_counts_once(tmp_path, open_logdir):
    generator, critic = describe(dense_layers(1), model="generator"), describe(dense_layers(1), model="critic")
    with RunFile(tmp_path / "run") as file:
        file.describe(generator)
        file.describe(critic)
        for step in range(3):
            write(file, generator, step, Cost(0.1, 0.01))
            write(file, critic, step, Cost(0.1, 0.03))
    with RunFile(tmp_path / "run", start=1_700_009_999.0) as file:
        file.describe(generator)
        write(file, generator, 1, Cost(0.1, 0.05))
    header, arrays = open_logdir(tmp_path).frame("cost", run="run")
    found = {name: arrays[f"{index}.fraction"].tolist() for index, name in enumerate(header["models"])}
    np.testing.assert_allclose(found["generator"], [0.1, 0.5], rtol=1e-6)
    np.testing.assert_allclose(found["critic"], [0.3, 0.3, 0.3], rtol=1e-6)


def test_a_run_without_records_has_no_cost(tmp_path, open_logdir):
    with RunFile(tmp_path / "run") as file:
        file.metric("loss/train", 0, 1.0, role="train_loss")
    header, arrays = open_logdir(tmp_path).frame("cost", run="run")
    assert (header["models"], arrays) == ([], {})


def test_a_metric_says_how_many_values_a_record_holds(tmp_path, open_logdir):
    with RunFile(tmp_path / "run") as file:
        for step in (3, 5):
            file.metric("netviz/skipped_step", step, 1.0, role="skipped")
    header, arrays = open_logdir(tmp_path).frame("metrics", run="run")
    assert header["metrics"] == [{"name": "netviz/skipped_step", "role": "skipped"}]
    assert arrays["0.observations"].tolist() == [1, 1]
