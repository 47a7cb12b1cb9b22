"""Classes that are rare, and labels that are wrong, in short trainings of classifiers."""

import pytest
import torch
from torch import nn

FEATURES, CLASSES = 8, 5
MIX = torch.randn(FEATURES, CLASSES, generator=torch.Generator().manual_seed(3))


def network(outputs=CLASSES):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(FEATURES, 32), nn.ReLU(), nn.Linear(32, outputs))


def clusters(step, chances, apart=2.0, count=96):
    """Return samples of Gaussian clusters of which each class has its share."""
    generator = torch.Generator().manual_seed(step)
    targets = torch.multinomial(torch.tensor(chances), count, replacement=True, generator=generator)
    return apart * MIX.T[targets] + torch.randn(count, FEATURES, generator=generator), targets


def noisy(step, share, apart=2.0, classes=CLASSES):
    """Return samples of which a share have a label that is drawn at random."""
    inputs, targets = clusters(step, [1.0] * classes, apart)
    generator = torch.Generator().manual_seed(step + 10_000)
    wrong = torch.rand(len(targets), generator=generator) < share
    return inputs, torch.where(wrong, torch.randint(classes, targets.shape, generator=generator), targets)


def test_a_rare_class_that_is_overlooked(train, told):
    def batch(step):
        return clusters(step, [1.0, 1.0, 1.0, 1.0, 0.02], apart=1.1)

    (finding,) = told(train(network(), nn.CrossEntropyLoss(), batch, steps=150, rate=3e-3), "class_imbalance")
    assert finding.severity.id == "warning"
    assert finding.message.startswith("Class 4 is")
    assert finding.first_step == 0
    assert finding.beyond.measured < finding.beyond.threshold


@pytest.mark.parametrize(
    ("chances", "weight", "apart"),
    [
        ([1.0, 1.0, 1.0, 1.0, 0.03], [1.0, 1.0, 1.0, 1.0, 33.0], 0.9),  # Weighted: it is learned.
        ([1.0, 1.0, 1.0, 1.0, 0.03], [1.0] * CLASSES, 3.0),  # Easy to tell: it is learned all the same.
        ([1.0, 1.0, 1.0, 1.0, 0.4], [1.0] * CLASSES, 0.9),  # Not rare.
        ([1.0, 1.0, 1.0, 1.0, 0.03], [1.0] * CLASSES, 0.1),  # None is recognised.
        ([1.0, 1.0, 1.0, 1.0, 0.0], [1.0] * CLASSES, 0.9),  # There is none.
    ],
)
def test_classes_that_are_handled(train, told, chances, weight, apart):
    criterion = nn.CrossEntropyLoss(torch.tensor(weight))
    run = train(network(), criterion, lambda step: clusters(step, chances, apart), steps=150)
    assert told(run, "class_imbalance") == []


@pytest.mark.parametrize(
    ("chance", "weight", "flipped", "expected"),
    [
        (0.02, 1.0, False, ["say yes"]),
        (0.02, 1.0, True, ["say no"]),
        (0.02, 49.0, False, []),
        (0.3, 1.0, False, []),
    ],
)
def test_a_rare_answer(train, told, chance, weight, flipped, expected):
    def batch(step):
        inputs, targets = clusters(step, [1 - chance, chance], apart=0.2)
        answers = targets.float()[:, None]
        return inputs, 1 - answers if flipped else answers

    criterion = nn.BCEWithLogitsLoss(pos_weight=torch.tensor(weight))
    findings = told(train(network(1), criterion, batch, steps=150, rate=3e-3), "class_imbalance")
    assert [words in finding.message for words, finding in zip(expected, findings, strict=True)] == [True] * len(
        expected
    )


@pytest.mark.parametrize(("answer", "others", "expected"), [(1.0, 0, 1), (0.0, 0, 1), (1.0, 40, 0)])
def test_one_answer_to_all(train, told, answer, others, expected):
    def batch(step):
        targets = torch.full((96, 1), answer)
        targets[:others] = 1 - answer
        return clusters(step, [1.0] * CLASSES)[0], targets

    findings = told(train(network(1), nn.BCEWithLogitsLoss(), batch, steps=150), "class_imbalance")
    assert [f"say {'yes' if answer else 'no'}" in finding.message for finding in findings] == [True] * expected


def test_answers_of_one_kind_in_every_other_step_are_a_game(train, told):
    """As a generator's: the network is told yes, then no."""
    run = train(
        network(1),
        nn.BCEWithLogitsLoss(),
        lambda step: (clusters(step, [1.0] * CLASSES)[0], torch.full((96, 1), step % 2.0)),
        steps=150,
    )
    assert told(run, "class_imbalance") == []


@pytest.mark.parametrize(
    ("share", "held_out", "classes", "severity"),
    [
        (0.25, 0.0, 4, "warning"),
        (0.5, 0.0, 4, "warning"),
        (0.25, 0.25, 4, "info"),
        (0.5, 0.5, 4, "info"),
        (0.5, None, 4, "info"),
        (0.25, 0.25, 5, "warning"),
        (0.5, None, 5, "warning"),
    ],
)
def test_labels_drawn_at_random_are_wrong_where_others_are_right(train, told, share, held_out, classes, severity):
    """Few held-out answers that are as random, or none, may be those of a player who draws them."""
    model = network(classes)

    def validate(step):
        if held_out is None or step % 10:
            return None
        inputs, targets = noisy(step + 500, held_out, classes=classes)
        with torch.no_grad():
            return nn.functional.cross_entropy(model(inputs), targets)

    run = train(
        model, nn.CrossEntropyLoss(), lambda step: noisy(step, share, classes=classes), steps=150, validate=validate
    )
    (finding,) = told(run, "label_noise")
    assert finding.severity.id == severity
    assert finding.first_step == 0
    assert int(finding.message.partition("%")[0]) == pytest.approx(100 * share * (classes - 1) / classes, abs=5)


def test_labels_drawn_at_random_that_are_learned_by_heart_later(train, told):
    """The same few samples again and again, by a network that is wide enough to tell each of them."""
    inputs, targets = (torch.cat(parts) for parts in zip(*(noisy(step, 0.5) for step in range(8)), strict=True))
    orders = torch.Generator().manual_seed(0)

    def batch(_):
        chosen = torch.randperm(len(targets), generator=orders)[:96]
        return inputs[chosen], targets[chosen]

    wide = nn.Sequential(nn.Linear(FEATURES, 256), nn.ReLU(), nn.Linear(256, CLASSES))
    (finding,) = told(train(wide, nn.CrossEntropyLoss(), batch, steps=300, rate=2e-3), "label_noise")
    assert "stayed wrong from step" in finding.message


def test_classes_that_overlap(train, told):
    """Three clusters so near to each other that even who knows them is right in two cases of three only."""
    generator = torch.Generator().manual_seed(0)

    def batch(_):
        targets = torch.randint(3, (64,), generator=generator)
        return nn.functional.one_hot(targets, 3) + torch.randn(64, 3, generator=generator), targets

    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 64), nn.ReLU(), nn.Linear(64, 3))
    assert told(train(model, nn.CrossEntropyLoss(), batch, steps=400, rate=5e-3), "label_noise") == []


@pytest.mark.parametrize(("share", "apart"), [(0.0, 2.0), (0.0, 0.5), (0.0, 0.3), (0.03, 2.0), (1.0, 2.0)])
def test_tasks_that_are_easy_or_hard(train, told, share, apart):
    run = train(network(), nn.CrossEntropyLoss(), lambda step: noisy(step, share, apart), steps=150)
    assert told(run, "label_noise") == []


def test_a_network_that_knows_next_to_nothing_says_nothing_of_labels(train, told):
    run = train(network(), nn.CrossEntropyLoss(), lambda step: noisy(step, 0.9), steps=150)
    assert told(run, "label_noise") == []


def test_a_training_that_has_only_begun(train, told):
    run = train(network(), nn.CrossEntropyLoss(), lambda step: noisy(step, 0.3), steps=40, rate=1e-3)
    assert told(run, "label_noise") == []


def test_a_language_whose_next_symbol_is_not_always_to_be_known(train, told):
    """A chain of symbols of which some are rare: the network learns it, and hardly ever expects those."""
    generator = torch.Generator().manual_seed(1)
    chances = torch.softmax(4 * torch.randn(12, 12, generator=generator), 1)

    def batch(_):
        symbols = [torch.randint(12, (64,), generator=generator)]
        for _ in range(8):
            symbols.append(torch.multinomial(chances[symbols[-1]], 1, generator=generator)[:, 0])
        chain = torch.stack(symbols, 1)
        return chain[:, :-1], chain[:, 1:]

    class Reader(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.head = nn.Embedding(12, 32), nn.Linear(32, 12)

        def forward(self, symbols):
            return self.head(self.table(symbols)).transpose(1, 2)

    torch.manual_seed(0)
    assert told(train(Reader(), nn.CrossEntropyLoss(), batch, steps=150), "class_imbalance") == []


def test_no_classes_no_verdict(train, told, reason):
    run = train(network(1), nn.MSELoss(), lambda step: (clusters(step, [1.0])[0], torch.zeros(96, 1)), steps=25)
    assert told(run, "label_noise") == []
    assert reason(run, "class_imbalance") is None


def test_where_nearly_all_is_of_one_class_the_others_are_the_rare_ones(train, told):
    def batch(step):
        return clusters(step, [1.0, 0.01, 0.01, 0.01, 0.01], apart=0.5)

    (finding,) = told(train(network(), nn.CrossEntropyLoss(), batch, steps=150, rate=3e-3), "class_imbalance")
    assert finding.message.startswith("4 classes")
