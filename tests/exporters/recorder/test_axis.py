"""At which training step a logged scalar belongs."""

from tb_netviz.recorder.axis import MOST_HELD, StepAxes


def placed(pairs):
    """Return where each value went, by value, of (number, training step) pairs logged one after the other."""
    axes: StepAxes[int] = StepAxes()
    found = []
    for value, (number, now) in enumerate(pairs):
        found += axes.place("loss", number, now, value)
    return found + axes.release("loss")


def test_steps_are_taken_at_their_word():
    pairs = [(step, step) for step in range(0, 100, 7)]
    assert placed(pairs) == [(step, value) for value, (step, _) in enumerate(pairs)]


def test_a_counter_that_begins_at_one_stays_as_it_is():
    assert placed([(step + 1, step) for step in range(5)]) == [(step + 1, step) for step in range(5)]


def test_epochs_go_to_the_step_at_which_they_were_logged():
    assert placed([(epoch, 31 * (epoch + 1) - 1) for epoch in range(4)]) == [(30, 0), (61, 1), (92, 2), (123, 3)]


def test_samples_and_resumed_counters_do_likewise():
    assert placed([(64 * step, step) for step in range(0, 40, 10)]) == [(0, 0), (10, 1), (20, 2), (30, 3)]
    assert placed([(5_000 + step, step) for step in range(3)]) == [(0, 0), (1, 1), (2, 2)]


def test_a_history_that_is_told_after_training_keeps_its_steps():
    for length in (5, 3 * MOST_HELD):
        assert placed([(step, 500) for step in range(length)]) == [(step, step) for step in range(length)]


def test_a_history_of_each_epoch_keeps_its_steps():
    pairs = [(step, 30 * (step // 30) + 29) for step in range(90)]
    assert placed(pairs) == [(step, step) for step in range(90)]


def test_a_single_value_goes_to_the_step_at_which_it_was_logged():
    assert placed([(1, 200)]) == [(200, 0)]


def test_batches_that_are_added_up_belong_to_the_step_of_their_sum():
    pairs = [(batch, batch // 4) for batch in range(40)]
    found = dict(reversed(pair) for pair in placed(pairs))
    assert all(abs(found[batch] - batch // 4) <= 1 for batch in range(40))


def test_nothing_is_lost_and_scalars_do_not_mix():
    axes: StepAxes[str] = StepAxes()
    found = [*axes.place("a", 0, 50, "first"), *axes.place("b", 50, 50, "other"), *axes.place("a", 1, 90, "second")]
    assert found == [(50, "other"), (50, "first"), (90, "second")]
    axes.place("c", 7, 50, "waits")
    assert axes.waiting == ["c"]
    assert axes.release("c") == [(50, "waits")]
    assert axes.waiting == []
