"""Leaps of a loss: of data, of batches that are too short, and of steps, in short trainings."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from tb_netviz.pytorch import NetVizWriter
from tb_netviz.reading import read_runs

WEIGHT = torch.randn(8, 1, generator=torch.Generator().manual_seed(3))


def regressor():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 1))


def drawn(step, noise=0.1, size=32):
    """Return points, and a smooth function of them beside noise."""
    generator = torch.Generator().manual_seed(step)
    inputs = torch.randn(size, 8, generator=generator)
    return inputs, (inputs @ WEIGHT).tanh() + noise * torch.randn(size, 1, generator=generator)


class TestHarderTask:
    @staticmethod
    def run(train, later, **about):
        return train(regressor(), nn.MSELoss(), lambda step: drawn(step) if step < 80 else later(step), 200, **about)

    def test_one_that_is_learned_anew_is_no_plateau(self, train, told):
        def harder(step):
            inputs, targets = drawn(step, noise=0.25)
            return inputs, 5 * targets

        assert told(self.run(train, harder), "loss_plateau") == []

    def test_one_of_which_nothing_is_learned_is(self, train, told):
        def noise(step):
            generator = torch.Generator().manual_seed(step)
            return torch.randn(32, 8, generator=generator), 2 * torch.randn(32, 1, generator=generator)

        (finding,) = told(self.run(train, noise), "loss_plateau")
        assert 75 <= finding.first_step <= 90


def missing(at, value=-9999.0):
    """Return batches in some of which two targets hold the code for a missing value."""

    def batch(step):
        inputs, targets = drawn(step)
        if step in at:
            targets[:2] = value
        return inputs, targets

    return batch


class TestWrongValues:
    def test_a_rate_that_did_well_is_not_blamed_for_them(self, train, told):
        def optimizer(model):
            return torch.optim.RMSprop(model.parameters(), lr=0.01)

        model = regressor()
        run = train(model, nn.MSELoss(), missing([80, 82, 84]), 140, optimizer=optimizer(model))
        (finding,) = told(run, "loss_spike")
        assert (finding.severity.id, finding.subject) == ("warning", "data")
        assert finding.first_step == 80
        assert told(run, "lr_too_high") == []

    def test_a_rate_that_is_raised_is(self, train, told):
        model = regressor()
        optimizer = torch.optim.RMSprop(model.parameters(), lr=0.01)

        def batch(step):
            if step == 80:
                optimizer.param_groups[0]["lr"] = 1.0
            return drawn(step)

        assert len(told(train(model, nn.MSELoss(), batch, 140, optimizer=optimizer), "lr_too_high")) == 1

    def test_the_first_of_them_counts_however_early(self, train, told):
        (finding,) = told(train(regressor(), nn.MSELoss(), missing([3, 60, 100]), 140), "loss_spike")
        assert finding.first_step == 3

    def test_what_kills_units_is_told_as_that(self, train, told):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 1))

        def batch(step):
            inputs, targets = drawn(step)
            return inputs.abs() * (100 if step == 80 else 1), targets + 1

        run = train(model, nn.MSELoss(), batch, 160, optimizer=torch.optim.SGD(model.parameters(), lr=0.02))
        assert [finding.layers for finding in told(run, "dead_units")] == [(0,)]
        assert told(run, "loss_spike") == []


class TestShortBatches:
    @staticmethod
    def found(train, told, *middle, short=2):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(8, 64), *middle, nn.Tanh(), nn.Linear(64, 1))
        run = train(model, nn.MSELoss(), lambda step: drawn(step, size=short if step % 20 == 19 else 64), 160)
        return told(run, "loss_spike")

    def test_of_which_a_normalisation_makes_little(self, train, told):
        (finding,) = self.found(train, told, nn.BatchNorm1d(64))
        assert finding.severity.id == "warning"
        assert finding.first_step in (19, 39)
        assert "2 samples in place of 64" in finding.message
        assert "drop_last=True" in finding.remedies[0].code

    @pytest.mark.parametrize(("middle", "short"), [((nn.LayerNorm(64),), 2), ((nn.BatchNorm1d(64),), 48)])
    def test_others_are_left_alone(self, train, told, middle, short):
        assert self.found(train, told, *middle, short=short) == []


@pytest.fixture
def unobserved(tmp_path, told):
    """Trains a classifier on what `kind` says of a step, of which the writer sees no loss, and tells of swings."""

    def of(kind, steps=240):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 4))
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        with NetVizWriter(tmp_path) as writer:
            writer.watch(model, optimizer, every=2, histograms=False, on_finding="ignore")
            for step in range(steps):
                generator = torch.Generator().manual_seed(step)
                classes = (
                    torch.randint(4, (16,), generator=generator) if kind is None else torch.full((16,), kind(step))
                )
                inputs = functional.one_hot(classes, 8) + 0.7 * torch.randn(16, 8, generator=generator)
                loss = functional.cross_entropy(model(inputs), classes)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                writer.add_scalar("loss/train", loss, writer.step)
        (recorded,) = read_runs(tmp_path)
        return told(recorded, "loss_oscillation")

    return of


class TestBlocks:
    def test_data_in_order_are_seen_without_their_targets(self, unobserved):
        (finding,) = unobserved(lambda step: step // 20 % 4)
        assert (finding.severity.id, finding.subject) == ("warning", "sorted")
        assert finding.first_step <= 40
        assert finding.remedies[0].code == "DataLoader(dataset, shuffle=True)"

    def test_shuffled_ones_are_left_alone(self, unobserved):
        assert unobserved(None) == []

    def test_so_are_a_few_stages(self, unobserved):
        assert unobserved(lambda step: step // 80) == []

    def test_so_are_answers_that_grow_in_jumps_from_next_to_nothing(self, tmp_path, told):
        """As those that an agent expects, of whose target a copy is made now and then."""
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 1))
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
        with NetVizWriter(tmp_path) as writer:
            writer.watch(model, optimizer, every=2, histograms=False, on_finding="ignore")
            for step in range(320):
                inputs = torch.randn(64, 8, generator=torch.Generator().manual_seed(step))
                expected = (0.02 + step // 40) * (1.0 + inputs[:, :1].tanh())
                loss = functional.mse_loss(model(inputs), expected)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                writer.add_scalar("loss/train", loss, writer.step)
        (recorded,) = read_runs(tmp_path)
        assert told(recorded, "loss_oscillation") == []


def test_a_rate_that_fell_to_nothing_before_anything_was_learned(train, told):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 32), nn.Tanh(), nn.Linear(32, 4))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.85)

    def batch(step):
        if step:
            schedule.step()
        generator = torch.Generator().manual_seed(step)
        inputs = torch.randn(32, 16, generator=generator)
        # Of the signs of pairs, batches say little at first.
        return inputs, 2 * (inputs[:, 0] * inputs[:, 1] > 0).long() + (inputs[:, 2] * inputs[:, 3] > 0).long()

    (finding,) = told(train(model, nn.CrossEntropyLoss(), batch, 200, optimizer=optimizer), "lr_too_low")
    assert finding.message.startswith("The learning rate fell from 0.001")
    assert "guessing would cost" in finding.excluded[1]


@pytest.mark.parametrize(
    ("size", "rule", "other"), [(800, "loss_plateau", "class_imbalance"), (32, "class_imbalance", "nonfinite")]
)
def test_inputs_that_say_nothing_are_the_cause_where_rare_answers_are_many(train, told, size, rule, other):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 1))

    def batch(step):
        generator = torch.Generator().manual_seed(step)
        inputs = torch.randn(size, 8, generator=generator)
        return inputs, (torch.rand(size, 1, generator=generator) < 0.08).float()

    run = train(model, nn.BCEWithLogitsLoss(), batch, 200)
    assert len(told(run, rule)) == 1
    assert told(run, other) == []


def test_layers_that_died_of_large_steps_are_blamed_first(train, told):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 1))

    def batch(step):
        inputs, targets = drawn(step)
        return inputs, 100 * (targets + 2)

    optimizer = torch.optim.SGD(model.parameters(), lr=0.3, momentum=0.9)
    run = train(model, nn.L1Loss(), batch, 120, optimizer=optimizer)
    (finding,) = told(run, "lr_too_high")
    assert finding.layers[0] == told(run, "dead_units")[0].layers[0]
