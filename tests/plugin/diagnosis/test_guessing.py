"""Losses that are no better than that of guessing: where weights go next to nowhere, and where they go far."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from tb_netviz_plugin.diagnosis.answers import beats_guessing, guess, tells_nothing
from tb_netviz_plugin.diagnosis.case import Case
from tb_netviz_plugin.diagnosis.course import training

FEATURES, CLASSES = 10, 4
MIX = torch.randn(FEATURES, CLASSES, generator=torch.Generator().manual_seed(3))


def batch(step, count=4):
    inputs = torch.randn(count, FEATURES, generator=torch.Generator().manual_seed(step))
    return inputs, (inputs @ MIX).argmax(1)


def network(outputs=CLASSES, *, frozen=False, learned=0):
    """Return a network; `frozen` but for its head, and trained for so many steps before."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(FEATURES, 32), nn.ReLU(), nn.Linear(32, outputs))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for step in range(learned):
        inputs, targets = batch(10_000 + step, 64)
        optimizer.zero_grad()
        functional.cross_entropy(model(inputs), targets).backward()
        optimizer.step()
    model[0].requires_grad_(not frozen)
    return model


def told_of(train, told, model):
    optimizer = torch.optim.SGD([row for row in model.parameters() if row.requires_grad], lr=1e-6)
    return told(train(model, nn.CrossEntropyLoss(), batch, 150, optimizer=optimizer), "lr_too_low")


@pytest.mark.parametrize("frozen", [False, True])
def test_a_loss_no_better_than_guessing_needs_no_gradients_that_agree(train, told, frozen):
    (finding,) = told_of(train, told, network(frozen=frozen))
    assert (finding.first_step, finding.last_step, finding.severity.id) == (0, 149, "warning")
    assert "guessing would cost 1.4" in finding.excluded[0]


@pytest.mark.parametrize("frozen", [False, True])
def test_a_network_that_has_learned_before_may_be_tuned_by_next_to_nothing(train, told, frozen):
    assert told_of(train, told, network(frozen=frozen, learned=100)) == []


def test_a_network_that_is_good_already_may_go_on_in_small_steps(train, told):
    model = network(learned=100)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-6)
    run = train(model, nn.CrossEntropyLoss(), lambda _: batch(0, 512), 150, optimizer=optimizer)
    assert told(run, "lr_too_low") == []


@pytest.mark.parametrize(("rate", "expected"), [(4e-5, 1), (1e-2, 0)])
def test_weights_that_go_a_little_further_while_gradients_agree(train, told, rate, expected):
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    run = train(model, nn.CrossEntropyLoss(), lambda step: batch(step, 256), 150, optimizer=optimizer)
    findings = told(run, "lr_too_low")
    assert ["at a learning rate of 4e-5" in finding.message for finding in findings] == [True] * expected
    assert all(0.02 < finding.beyond.measured < finding.beyond.threshold == 0.1 for finding in findings)


@pytest.mark.parametrize(
    ("learned", "rate", "expected"),
    [
        pytest.param(0, 5e-5, 1, id="far too low"),
        pytest.param(100, 5e-5, 0, id="of a network that had learned before"),
        pytest.param(0, 2e-3, 0, id="higher"),
    ],
)
def test_weights_that_hardly_move_though_gradients_of_few_samples_disagree(train, told, learned, rate, expected):
    model = network(learned=learned)
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    run = train(model, nn.CrossEntropyLoss(), lambda step: batch(step, 4), 150, optimizer=optimizer)
    findings = told(run, "lr_too_low")
    assert len(findings) == expected
    assert all(0.002 < finding.beyond.measured < 0.01 for finding in findings)


def shuffled(step):
    """Return inputs that say nothing of their classes."""
    inputs, _ = batch(step, 64)
    return inputs, torch.randint(CLASSES, (64,), generator=torch.Generator().manual_seed(step))


def unequal(step):
    """Return the same of classes that are not as frequent."""
    inputs, _ = batch(step, 64)
    chances, generator = torch.tensor([0.6, 0.2, 0.1, 0.1]), torch.Generator().manual_seed(step)
    return inputs, chances.multinomial(64, replacement=True, generator=generator)


def loud(model):
    """Begin with large outputs, so that the loss has a long way to come down to that of guessing."""
    with torch.no_grad():
        model[2].weight.mul_(12)
    return model


@pytest.mark.parametrize(("drawn", "expected"), [(shuffled, 1), (unequal, 1), (lambda step: batch(step, 64), 0)])
def test_a_loss_that_came_down_to_that_of_guessing_and_stays_there(train, told, drawn, expected):
    run = train(loud(network()), nn.CrossEntropyLoss(), drawn, 400, rate=3e-2)
    findings = told(run, "loss_plateau")
    assert ["nothing in the inputs has helped" in finding.message for finding in findings] == [True] * expected
    assert all(0.93 <= finding.beyond.measured <= 1.1 and finding.first_step == 0 for finding in findings)


def seldom(step):
    """Return classes of which the inputs tell one in six only."""
    inputs, targets = batch(step, 64)
    generator = torch.Generator().manual_seed(step)
    drawn = torch.randint(CLASSES, (64,), generator=generator)
    return inputs, torch.where(torch.rand(64, generator=generator) < 1 / 6, targets, drawn)


def noisy(step):
    """Return numbers of which the inputs tell a tenth, beside an offset that a network has to learn first."""
    inputs, _ = batch(step, 64)
    noise = 3 * torch.randn(64, 1, generator=torch.Generator().manual_seed(step + 10**6))
    return inputs, 3 + inputs[:, :1] + noise


@pytest.mark.parametrize(
    ("outputs", "criterion", "drawn"), [(CLASSES, nn.CrossEntropyLoss(), seldom), (1, nn.MSELoss(), noisy)]
)
def test_little_that_there_is_to_know_is_learned(train, told, outputs, criterion, drawn):
    run = train(network(outputs), criterion, drawn, 400, rate=1e-2)
    case = Case(run)
    assert 0.85 < training(case).end / guess(case, "") < 1.05
    assert not tells_nothing(case, "")
    assert told(run, "loss_plateau") == []


def test_a_loss_that_is_about_to_fall_below_that_of_guessing(train, told):
    run = train(network(), nn.CrossEntropyLoss(), lambda step: batch(step, 64), 110, rate=4e-4)
    loss = training(Case(run))
    assert 0.93 < loss.end / np.log(CLASSES) < 1
    assert told(run, "loss_plateau") == []


def yes_or_no(step):
    inputs, targets = batch(step, 64)
    return inputs, (targets == 0).float()[:, None]


def nearly(step):
    """Return probabilities, of which even the truth costs something."""
    inputs, targets = yes_or_no(step)
    return inputs, 0.3 + 0.4 * targets


def zeros(step):
    inputs, targets = batch(step, 64)
    return inputs, torch.zeros(len(targets), 1)


@pytest.mark.parametrize(
    ("outputs", "criterion", "drawn", "expected"),
    [
        (CLASSES, nn.CrossEntropyLoss(), batch, np.log(CLASSES)),
        (CLASSES, functional.cross_entropy, batch, np.log(CLASSES)),
        (CLASSES, nn.CrossEntropyLoss(reduction="sum"), batch, None),  # Of how many samples is not known.
        (CLASSES, nn.MultiMarginLoss(), batch, None),
        (1, nn.BCEWithLogitsLoss(), yes_or_no, 0.53),
        (1, nn.BCEWithLogitsLoss(), nearly, None),
        (1, nn.MSELoss(), yes_or_no, 0.17),
        (1, nn.MSELoss(), zeros, None),  # As of a residual: there is nothing to guess.
    ],
)
def test_what_guessing_costs(train, outputs, criterion, drawn, expected):
    run = train(network(outputs), criterion, drawn, 5)
    found = guess(Case(run), "")
    assert found is None if expected is None else found == pytest.approx(expected, abs=0.02)
    assert guess(Case(run), "another") is None


@pytest.mark.parametrize(("held_out", "expected"), [(1.4, 1), (0.3, 0)])
def test_what_was_known_by_heart_from_the_first_carries_nothing_over(train, told, held_out, expected):
    run = train(
        network(learned=400),
        nn.CrossEntropyLoss(),
        lambda step: batch(10_000 + step % 20, 64),
        150,
        validate=lambda step: held_out if step % 15 == 14 else None,
    )
    findings = told(run, "overfitting")
    assert ["1.4 of a network that knows nothing" in finding.message for finding in findings] == [True] * expected


@pytest.mark.parametrize(("signal", "expected"), [(0.0, 1), (0.45, 0)])
@pytest.mark.parametrize("criterion", [nn.BCEWithLogitsLoss, nn.MSELoss])
def test_little_that_there_is_to_know_of_rare_answers_or_small_returns(train, told, signal, expected, criterion):
    """One answer in ten is yes, and inputs move that by little; or returns of which next to all is noise."""
    generator = torch.Generator().manual_seed(0)

    def rare(_):
        inputs = torch.randn(256, FEATURES, generator=generator)
        score = signal * inputs[:, :1]
        if criterion is nn.MSELoss:
            return inputs, 0.4 * score + torch.randn(256, 1, generator=generator)
        return inputs, (torch.rand(256, 1, generator=generator) < torch.sigmoid(2 * score - 2.2)).float()

    model = network(1)
    nn.init.constant_(model[2].bias, 0.0 if criterion is nn.MSELoss else -2.2)
    run = train(model, criterion(), rare, 300, optimizer=torch.optim.Adam(model.parameters(), lr=3e-3))
    case = Case(run)
    assert beats_guessing(case, "") is (not expected)
    assert len(told(run, "loss_plateau")) == expected
    assert told(run, "lr_too_high") == []


def test_a_course_that_gets_harder_while_the_validation_loss_falls_is_no_plateau(train, told):
    """Inputs come from further and further out, and are harder to tell there."""
    generator = torch.Generator().manual_seed(0)

    def further(step):
        inputs = (0.5 + 2.5 * step / 300) * torch.randn(64, FEATURES, generator=generator)
        return inputs, (inputs[:, :1] * torch.sin(inputs[:, 1:2])) + inputs.square().mean(1, keepdim=True)

    model = network(1)
    inputs, targets = further(300)

    def held_out(step):
        with torch.no_grad():
            return functional.mse_loss(model(inputs), targets).item() if step % 20 == 0 else None

    run = train(model, nn.MSELoss(), further, 300, rate=3e-3, validate=held_out)
    assert training(Case(run)).end > training(Case(run)).start
    assert told(run, "loss_plateau") == []


@pytest.mark.parametrize(("decay", "expected"), [(0.02, 0), (0.0, 1)])
def test_a_training_that_has_converged_against_a_decay_may_go_on(train, told, decay, expected):
    """All data at once: at the end the gradient is what the decay takes back, and the same at each step."""
    inputs = batch(0, 4096)[0]
    numbers = inputs[:, :1] + 1.5 * torch.randn(4096, 1, generator=torch.Generator().manual_seed(0))
    model = network(1)
    before = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=0.02)
    for _ in range(1500):
        before.zero_grad()
        functional.mse_loss(model(inputs), numbers).backward()
        before.step()
    after = torch.optim.SGD(model.parameters(), lr=1e-5, weight_decay=decay)
    run = train(model, nn.MSELoss(), lambda _: (inputs, numbers), 150, optimizer=after)
    assert len(told(run, "lr_too_low")) == expected


EXCLUSIVE_OR = (
    torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]),
    torch.tensor([[0.0], [1.0], [1.0], [0.0]]),
)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(("rate", "expected"), [(0.1, 1), (10.0, 0)])
def test_the_same_samples_at_each_step_do_not_scatter(train, told, seed, rate, expected):
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(2, 8), nn.Sigmoid(), nn.Linear(8, 1), nn.Sigmoid())
    optimizer = torch.optim.SGD(model.parameters(), rate)
    run = train(model, nn.MSELoss(), lambda _step: EXCLUSIVE_OR, 400, optimizer=optimizer)
    assert [finding.severity.id for finding in told(run, "loss_plateau")] == ["warning"] * expected


def test_the_little_that_many_samples_tell_is_learned_though_they_are_the_same_at_each_step(train, told):
    inputs = torch.randn(800, FEATURES, generator=torch.Generator().manual_seed(0))
    targets = 0.2 * inputs[:, :1] + torch.randn(800, 1, generator=torch.Generator().manual_seed(1))
    model, rate = nn.Sequential(nn.Linear(FEATURES, 4), nn.Tanh(), nn.Linear(4, 1)), 0.05
    model[2].weight.data.mul_(0.1)
    optimizer = torch.optim.SGD(model.parameters(), rate)
    run = train(model, nn.MSELoss(), lambda _step: (inputs, targets), 400, optimizer=optimizer)
    assert beats_guessing(Case(run), "")
    assert told(run, "loss_plateau") == []


class Cosines(nn.Module):
    """Compares what it is told with a direction for each class, and divides by a temperature."""

    def __init__(self, temperature):
        super().__init__()
        torch.manual_seed(0)
        self.hidden, self.classes = nn.Linear(FEATURES, 32), nn.Linear(32, CLASSES, bias=False)
        self.temperature = temperature

    def forward(self, inputs):
        near = functional.normalize(torch.tanh(self.hidden(inputs)), dim=1)
        return near @ functional.normalize(self.classes.weight, dim=1).T / self.temperature


@pytest.mark.parametrize(("temperature", "expected"), [(5.0, 1), (1.0, 1), (0.1, 0)])
def test_answers_that_are_right_and_cannot_get_sure(train, told, temperature, expected):
    run = train(Cosines(temperature), nn.CrossEntropyLoss(), lambda step: batch(step, 64), 240)
    findings = told(run, "loss_plateau")
    assert [finding.severity.id for finding in findings] == ["warning"] * expected
    assert all("all scores lie within" in finding.message for finding in findings)
    assert all("temperature" in finding.remedies[0].text for finding in findings)


@pytest.mark.parametrize("rate", [1e-3, 1e-4])
def test_answers_that_are_right_and_are_getting_surer(train, told, rate):
    optimizer = torch.optim.Adam((model := network(learned=15)).parameters(), rate)
    assert (
        told(
            train(model, nn.CrossEntropyLoss(), lambda step: batch(step, 64), 160, optimizer=optimizer), "loss_plateau"
        )
        == []
    )


@pytest.mark.parametrize(("signal", "expected"), [(0.0, 1), (0.25, 0)])
def test_little_that_there_is_to_know_of_more_classes(train, told, signal, expected):
    """A market that goes up, down or nowhere, of which hardly anything can be known."""
    generator = torch.Generator().manual_seed(0)

    def moves(_):
        inputs = torch.randn(256, FEATURES, generator=generator)
        score = signal * inputs[:, 0] + torch.randn(256, generator=generator)
        return inputs, torch.bucketize(score, torch.tensor([-0.43, 0.43]))

    model = network(3)
    run = train(model, nn.CrossEntropyLoss(), moves, 300, optimizer=torch.optim.Adam(model.parameters(), 1e-3))
    assert len(told(run, "loss_plateau")) == expected
