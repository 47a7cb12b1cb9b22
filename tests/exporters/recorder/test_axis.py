"""At which training step a logged scalar belongs."""

from tb_netviz.recorder.axis import StepAxes


def placed(pairs):
    """Return where the values of (number, training step) pairs went that were logged one after the other."""
    axes = StepAxes()
    return [axes.place("loss", number, now) for number, now in pairs]


def test_steps_are_taken_at_their_word():
    assert placed([(step, step) for step in range(0, 100, 7)]) == list(range(0, 100, 7))


def test_a_counter_that_begins_at_one_stays_as_it_is():
    assert placed([(step + 1, step) for step in range(5)]) == [1, 2, 3, 4, 5]


def test_epochs_go_to_the_step_at_which_they_were_logged_at_once():
    assert placed([(epoch, 31 * (epoch + 1) - 1) for epoch in range(4)]) == [30, 61, 92, 123]


def test_an_epoch_that_is_logged_after_training_does_not_go_back():
    pairs = [(epoch, 50 * (epoch + 1) - 1) for epoch in range(20)]
    assert placed([*pairs, (20, 999)]) == [*(now for _, now in pairs), 999]


def test_samples_and_resumed_counters_do_likewise():
    assert placed([(64 * step, step) for step in range(0, 40, 10)]) == [0, 10, 20, 30]
    assert placed([(5_000 + step, step) for step in range(3)]) == [0, 1, 2]


def test_a_history_that_is_told_after_training_keeps_its_steps_but_for_the_first():
    assert placed([(step, 500) for step in range(300)]) == [500, *range(1, 300)]


def test_a_history_of_each_epoch_keeps_its_steps():
    pairs = [(step, 100 * (step // 100) + 99) for step in range(0, 400, 10)]
    assert placed(pairs)[1:] == list(range(10, 400, 10))


def test_batches_that_are_added_up_belong_to_the_step_of_their_sum():
    assert all(abs(step - batch // 4) <= 1 for batch, step in enumerate(placed([(b, b // 4) for b in range(40)])))


def test_numbers_that_come_near_again_are_taken_at_their_word_again():
    assert placed([(100, 0), (200, 1), (201, 200), (202, 201)]) == [0, 1, 201, 202]


def test_scalars_do_not_mix():
    axes = StepAxes()
    assert [axes.place("a", 0, 50), axes.place("b", 50, 50), axes.place("a", 1, 90), axes.place("b", 90, 90)] == [
        50,
        50,
        90,
        90,
    ]
