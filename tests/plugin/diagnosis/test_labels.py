"""Targets that are wrong: known by held-out ones that fit better, or by a number that stands for none."""

import pytest
import torch
from torch import nn

FEATURES, TRAINED, HELD_OUT = 6, 1200, 400


def drawn(seed):
    return torch.Generator().manual_seed(seed)


def numbers():
    """Return inputs of all samples, and what is to be known of them."""
    inputs = torch.randn(TRAINED + HELD_OUT, FEATURES, generator=drawn(0))
    return inputs, inputs[:, :1] + 0.7 * inputs[:, 1:2] * inputs[:, 2:3]


def permuted(targets, share):
    """Return targets of which a share belongs to other samples."""
    wrong = (torch.rand(len(targets), generator=drawn(1)) < share).nonzero()[:, 0]
    changed = targets.clone()
    changed[wrong] = targets[wrong[torch.randperm(len(wrong), generator=drawn(2))]]
    return changed


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(FEATURES, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 1))


def trained(train, criterion, inputs, targets, noise=0.0, factor=1.0, steps=200):
    """Train on the first samples, and validate on the others, whose inputs are as they are."""
    model, order = network(), drawn(3)

    def batch(_):
        chosen = torch.randint(TRAINED, (128,), generator=order)
        return inputs[chosen] + noise * torch.randn(128, FEATURES, generator=order), targets[chosen]

    def validate(step):
        if step % 10 != 9:
            return None
        model.eval()
        with torch.no_grad():
            loss = factor * criterion(model(inputs[TRAINED:]), targets[TRAINED:])
        model.train()
        return loss

    return train(model, criterion, batch, steps=steps, rate=3e-3, validate=validate)


def both(first, second):
    return torch.cat([first[:TRAINED], second[TRAINED:]])


@pytest.mark.parametrize("criterion", [nn.MSELoss(), nn.HuberLoss()])
def test_targets_of_other_samples_where_held_out_ones_are_right(train, told, criterion):
    inputs, _ = numbers()
    targets = inputs[:, :2].sum(1, keepdim=True)
    run = trained(train, criterion, inputs, both(permuted(targets, 0.5), targets), steps=120)
    (finding,) = told(run, "label_noise")
    assert finding.severity.id == "info"
    assert finding.first_step == 0
    assert finding.beyond.measured <= finding.beyond.threshold


def test_answers_of_yes_or_no_that_are_flipped(train, told):
    inputs, targets = numbers()
    answers = (targets > 0).float()
    flipped = torch.where(torch.rand(answers.shape, generator=drawn(4)) < 0.25, 1 - answers, answers)
    (finding,) = told(trained(train, nn.BCEWithLogitsLoss(), inputs, both(flipped, answers)), "label_noise")
    assert finding.severity.id == "info"


def test_targets_that_are_right(train, told):
    assert told(trained(train, nn.MSELoss(), *numbers()), "label_noise") == []


def test_held_out_targets_that_are_as_wrong(train, told):
    inputs, targets = numbers()
    run = trained(train, nn.MSELoss(), inputs, permuted(targets, 0.5))
    assert told(run, "label_noise") == []


@pytest.mark.parametrize("less", [0.2, 0.6])
def test_held_out_targets_of_calmer_times(train, told, less):
    """What nobody can know of them is less, from the first validation on."""
    inputs, targets = numbers()
    scatter = 1.4 * torch.randn(targets.shape, generator=drawn(5))
    run = trained(train, nn.MSELoss(), inputs, both(targets + scatter, targets + less * scatter))
    assert told(run, "label_noise") == []


def test_noise_on_the_inputs_in_training_only(train, told):
    """A steep function, which noise blurs: the network learns what is left of it, and its inputs scatter more."""
    inputs = torch.randn(TRAINED + HELD_OUT, FEATURES, generator=drawn(0))
    run = trained(train, nn.MSELoss(), inputs, torch.sin(2 * inputs[:, :1]), noise=0.5)
    assert told(run, "label_noise") == []


def test_a_validation_loss_of_another_unit(train, told):
    inputs, targets = numbers()
    scatter = torch.randn(targets.shape, generator=drawn(5))
    assert told(trained(train, nn.MSELoss(), inputs, targets + scatter, factor=0.5), "label_noise") == []


def odd(targets, share, value):
    """Return targets of which a share is one and the same number."""
    return torch.where(torch.rand(targets.shape, generator=drawn(6)) < share, torch.full_like(targets, value), targets)


@pytest.mark.parametrize(("share", "value"), [(0.05, -40.0), (0.1, -40.0), (0.1, 40.0)])
def test_a_number_that_stands_for_none(train, told, share, value):
    inputs, targets = numbers()
    told_targets = odd(targets, share, value)
    (finding,) = told(
        trained(train, nn.MSELoss(), inputs, (told_targets - told_targets.mean()) / told_targets.std()), "label_noise"
    )
    assert finding.severity.id == "warning"
    assert "stand for a value that is not there" in finding.message
    assert abs(float(finding.message.split("%")[0].split()[-1]) / 100 - share) < 0.03


def few_kinds(inputs, targets):
    return odd(torch.zeros_like(targets), 0.1, 1.0)


def clipped(inputs, targets):
    return targets.clamp(max=1.5) + 0 * inputs[:, :1]


def outliers(inputs, targets):
    scatter = torch.rand(targets.shape, generator=drawn(7)) < 0.05
    return torch.where(scatter, targets + 10 * torch.randn(targets.shape, generator=drawn(8)), targets)


def foretold(inputs, targets):
    """A number far off that inputs tell, as the reward where a player has lost."""
    return torch.where(inputs[:, 3:4] > 1.5, -8.0, 0.3 * targets)


@pytest.mark.parametrize("made", [few_kinds, clipped, outliers, foretold])
def test_numbers_far_off_that_are_answers(train, told, made):
    inputs, targets = numbers()
    assert told(trained(train, nn.MSELoss(), inputs, made(inputs, targets), steps=300), "label_noise") == []
