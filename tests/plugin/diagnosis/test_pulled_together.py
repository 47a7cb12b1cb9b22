"""Embeddings that a loss pulls together, and codes that a divergence presses flat, beside those that stay apart."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from tb_netviz.pytorch import NetVizWriter
from tb_netviz.reading import read_runs
from tb_netviz_plugin.diagnosis import Severity, causes
from tb_netviz_plugin.diagnosis.finding import Beyond, Finding, Line

COLLAPSE = "representation_collapse"
FEATURES, WIDTH = 12, 16


@pytest.fixture
def record(tmp_path, _one_thread):
    """Return what trains a model by `loss_of(model, samples, writer)` and reads what was recorded."""

    def run(model, loss_of, steps=200, rate=2e-3, every=2, log="loss/train"):
        optimizer, generator = torch.optim.Adam(model.parameters(), rate), torch.Generator().manual_seed(1)
        with NetVizWriter(tmp_path) as writer:
            writer.watch(model, optimizer, every=every, histograms=False, on_finding="ignore")
            for _ in range(steps):
                loss = loss_of(model, torch.randn(64, FEATURES, generator=generator), writer)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                if log:
                    writer.add_scalar(log, loss, writer.step)
        (recorded,) = read_runs(tmp_path)
        return recorded

    return run


def told_badly(told, run):
    return [finding for finding in told(run, COLLAPSE) if finding.severity > Severity.INFO]


def encoder():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(FEATURES, 64), nn.ReLU(), nn.Linear(64, WIDTH))


def two_views(model, samples):
    return (model(samples + 0.2 * torch.randn_like(samples)) for _view in range(2))


class World(nn.Module):
    """Says the next state from this one, both as an encoder sees them, and a push."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.dynamics = nn.Sequential(nn.Linear(WIDTH + FEATURES, 48), nn.ReLU(), nn.Linear(48, WIDTH))
        self.eye = encoder()

    def forward(self, now, push):
        return self.dynamics(torch.cat([self.eye(now), push], 1)), self.eye(now + push)


@pytest.mark.parametrize(("kept", "expected"), [(0.0, 1), (1.0, 0)])
def test_a_world_model_that_is_trained_on_its_own_next_state(record, told, kept, expected):
    def loss_of(model, samples, _writer):
        foretold, state = model(samples, 0.2 * torch.randn_like(samples))
        return functional.mse_loss(foretold, state) + kept * functional.relu(1 - state.std(0)).mean()

    findings = told_badly(told, record(World(), loss_of, steps=400, rate=1e-2, log=None))
    assert len(findings) == expected
    assert all(finding.first_step < 100 for finding in findings)


@pytest.mark.parametrize(("kept", "expected"), [(0.0, 1), (1.0, 0)])
def test_targets_that_the_network_makes_itself(record, told, kept, expected):
    def loss_of(model, samples, writer):
        one, two = two_views(model, samples)
        loss = (one - two).square().mean() + kept * functional.relu(1 - one.std(0)).mean()
        writer.observe(outputs=one, targets=two, loss=loss)
        return loss

    assert len(told_badly(told, record(encoder(), loss_of, rate=5e-3))) == expected


@pytest.mark.parametrize(("kept", "expected"), [(0.0, 1), (1.0, 0)])
def test_a_cosine_that_begins_near_its_end(record, told, kept, expected):
    def loss_of(model, samples, _writer):
        one, two = two_views(model, samples)
        apart = functional.cosine_similarity(one, one.roll(1, 0)).mean()
        return -functional.cosine_similarity(one, two).mean() + kept * functional.relu(apart)

    assert len(told_badly(told, record(encoder(), loss_of))) == expected


@pytest.mark.parametrize(("kept", "expected"), [(0.0, 1), (1.0, 0)])
def test_embeddings_that_were_nearly_alike_from_the_start(record, told, kept, expected):
    """A common offset leaves little to pull together: the loss is next to none without it."""
    model = encoder()
    with torch.no_grad():
        model[2].weight.mul_(0.3)
        model[2].bias.fill_(0.3)

    def loss_of(model, samples, writer):
        one, two = (model(samples * (torch.rand_like(samples) > 0.3)) for _view in range(2))
        loss = 1 - functional.cosine_similarity(one, two).mean()
        loss = loss + kept * functional.relu(functional.cosine_similarity(one, one.roll(1, 0)) - 0.2).mean()
        writer.observe(outputs=one, targets=two, loss=loss)
        return loss

    findings = told_badly(told, record(model, loss_of, rate=1e-2, steps=120))
    assert len(findings) == expected
    assert all(finding.first_step <= 2 for finding in findings)


@pytest.mark.parametrize(("other", "expected"), [(0.0, 1), (-1.0, 0)])
def test_pairs_whose_targets_are_no_cosine_are_never_told_apart(tmp_path, told, other, expected):
    """`CosineEmbeddingLoss` asks nothing of pairs with the label 0, and keeps those apart that have -1."""
    model, criterion = encoder(), nn.CosineEmbeddingLoss()
    optimizer, generator = torch.optim.Adam(model.parameters(), 5e-3), torch.Generator().manual_seed(1)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, criterion, every=2, histograms=False, on_finding="ignore")
        for _ in range(200):
            one = torch.randn(64, FEATURES, generator=generator)
            same = torch.rand(64, generator=generator) < 0.5
            two = torch.where(same[:, None], one + 0.2 * torch.randn(64, FEATURES, generator=generator), one.roll(1, 0))
            loss = criterion(model(one), model(two), torch.where(same, 1.0, other))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            writer.add_scalar("loss/train", loss, writer.step)
    (recorded,) = read_runs(tmp_path)
    assert len(told_badly(told, recorded)) == expected


@pytest.mark.parametrize(("others", "expected"), [(False, 1), (True, 0)])
def test_pairs_that_all_belong_together(record, told, others, expected):
    def loss_of(model, samples, writer):
        one, two = two_views(model, samples)
        scores = torch.cat([(one * two).sum(1), (one * two.roll(1, 0)).sum(1)])[: 128 if others else 64]
        targets = (torch.arange(len(scores)) < 64).float()
        loss = functional.binary_cross_entropy_with_logits(scores, targets)
        writer.observe(outputs=scores, targets=targets, loss=loss)
        return loss

    assert len(told_badly(told, record(encoder(), loss_of, rate=1e-2, steps=300))) == expected


@pytest.mark.parametrize(("kept", "tag", "expected"), [(0.0, "loss/similarity", 1), (0.0, "sum", 0), (1.0, "loss", 0)])
def test_angles_that_shrink_while_embeddings_grow(record, told, kept, tag, expected):
    def loss_of(model, samples, _writer):
        one, two = two_views(model, samples)
        apart = functional.cosine_similarity(one, one.roll(1, 0)).mean()
        return 1 - functional.cosine_similarity(one, two).mean() + kept * functional.relu(apart)

    (model := encoder())[2].bias.data.add_(0.3)
    assert len(told_badly(told, record(model, loss_of, rate=5e-3, log=tag))) == expected


@pytest.mark.parametrize(("kept", "expected"), [(0.0, 1), (1.0, 0)])
def test_angles_beside_samples_that_are_embedded_to_look_at_them(record, told, kept, expected):
    """A probe in some of the steps makes outputs that no loss asks anything of."""
    probe = torch.randn(300, FEATURES, generator=torch.Generator().manual_seed(2))

    def loss_of(model, samples, writer):
        one, two = two_views(model, samples)
        if writer.step % 10 < 2:
            with torch.no_grad():
                model(probe)
        apart = functional.cosine_similarity(one, one.roll(1, 0)).mean()
        return 1 - functional.cosine_similarity(one, two).mean() + kept * functional.relu(apart)

    (model := encoder())[2].bias.data.add_(0.3)
    assert len(told_badly(told, record(model, loss_of, rate=5e-3, log="loss/similarity"))) == expected


def no_edge(one, two):
    return (one * two.roll(1, 0)).sum(1)


@pytest.mark.parametrize(("others", "expected"), [(False, 1), (True, 0)])
def test_pairs_that_all_belong_together_without_targets(record, told, others, expected):
    def loss_of(model, samples, writer):
        one, two = two_views(model, samples)
        loss = functional.softplus(-(one * two).sum(1)).mean()
        loss = loss + functional.softplus(no_edge(one, two)).mean() if others else loss
        writer.observe(outputs=one, loss=loss)
        return loss

    assert len(told_badly(told, record(encoder(), loss_of, rate=1e-2, steps=300))) == expected


@pytest.mark.parametrize("criterion", [functional.mse_loss, functional.smooth_l1_loss, functional.l1_loss])
def test_a_distance_to_targets_that_are_much_alike(record, told, criterion):
    torch.manual_seed(1)
    asked = nn.Linear(FEATURES, WIDTH)
    asked.weight.data.mul_(0.5)
    asked.bias.data.fill_(1.0)
    asked.requires_grad_(False)

    def loss_of(model, samples, writer):
        loss = 0.1 * criterion(outputs := model(samples), asked(samples))
        writer.observe(outputs=outputs, loss=loss)
        return loss

    model = encoder()
    run = record(model, loss_of, rate=1e-2, steps=600)
    assert not told_badly(told, run)


def test_scores_of_classes_of_which_many_never_occur(record, told):
    torch.manual_seed(1)
    centres = 2 * torch.randn(8, FEATURES)

    def loss_of(model, samples, _writer):
        classes = (100 * samples[:, 0]).long() % 8
        return functional.cross_entropy(model(centres[classes] + 0.2 * samples), classes)

    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(FEATURES, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 100))
    assert not told_badly(told, record(model, loss_of, steps=500, rate=3e-3, every=1))


def test_rare_tags(record, told):
    def loss_of(model, samples, _writer):
        tags = (samples > 1.9).float()
        return functional.binary_cross_entropy_with_logits(model(3 * tags + 0.05 * samples), tags)

    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(FEATURES, 64), nn.ReLU(), nn.Linear(64, FEATURES))
    assert not told_badly(told, record(model, loss_of, steps=600, rate=5e-3))


def near_one(samples):
    """Numbers whose common part is far larger than what differs."""
    return 1 + 0.05 * samples[:, :8].tanh()


def in_percent(made, asked):
    return (made / (10 * asked) - 1).abs().mean()


@pytest.mark.parametrize("criterion", [functional.mse_loss, in_percent])
def test_numbers_that_have_much_in_common(record, told, criterion):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(FEATURES, 64), nn.Tanh(), nn.LayerNorm(64), nn.Linear(64, 8))
    run = record(model, lambda model, samples, _: criterion(model(samples), near_one(samples)), 900, 5e-3)
    assert not told_badly(told, run)


@pytest.mark.parametrize(("views", "expected"), [(True, 1), (False, 0)])
def test_differences_that_are_compared_with_zeros(record, told, views, expected):
    def loss_of(model, samples, writer):
        one, two = two_views(model, samples) if views else (model(samples), 3 + samples.tanh().repeat(1, 2)[:, :WIDTH])
        loss = functional.mse_loss(one - two, torch.zeros_like(one))
        writer.observe(outputs=one - two, targets=torch.zeros_like(one), loss=loss)
        return loss

    assert len(told_badly(told, record(encoder(), loss_of, steps=500, rate=5e-3))) == expected


class Predicting(nn.Module):
    """Embeds a view, and foretells how another one is embedded."""

    def __init__(self):
        super().__init__()
        self.encoder = encoder()
        self.predictor = nn.Sequential(nn.Linear(WIDTH, 32), nn.ReLU(), nn.Linear(32, WIDTH))

    def forward(self, samples):
        embedded = self.encoder(samples)
        return embedded, self.predictor(embedded)


def test_angles_to_what_another_network_makes(record, told):
    torch.manual_seed(3)
    teacher = nn.Sequential(nn.Linear(FEATURES, 64), nn.Tanh(), nn.Linear(64, WIDTH)).requires_grad_(False)
    teacher[2].bias.copy_(4 * torch.randn(WIDTH))

    def loss_of(model, samples, _writer):
        return 1 - functional.cosine_similarity(model(samples), teacher(samples)).mean()

    torch.manual_seed(0)
    layers = (nn.Linear(FEATURES, 128), nn.Tanh(), nn.Linear(128, 128), nn.Tanh(), nn.Linear(128, WIDTH))
    assert not told_badly(told, record(nn.Sequential(*layers), loss_of, steps=700, rate=3e-3, every=1))


def test_angles_to_what_a_predictor_says_are_told_with_a_condition(record, told):
    def loss_of(model, samples, _writer):
        (one, _), (_, two) = two_views(model, samples)
        return 1 - functional.cosine_similarity(one, two).mean()

    (finding,) = told_badly(told, record(Predicting(), loss_of, steps=400, rate=5e-3, every=1))
    assert finding.severity is Severity.WARNING
    assert "if the network itself makes" in finding.message


class Coder(nn.Module):
    """A variational autoencoder."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.encoder, self.mu, self.logvar = nn.Linear(FEATURES, 32), nn.Linear(32, 6), nn.Linear(32, 6)
        self.decoder = nn.Linear(6, FEATURES)

    def forward(self, samples):
        hidden = functional.relu(self.encoder(samples))
        mu, logvar = self.mu(hidden), self.logvar(hidden)
        return self.decoder(mu + (0.5 * logvar).exp() * torch.randn_like(mu)), mu, logvar


@pytest.mark.parametrize(("weight", "expected"), [(1.0, 1), (0.01, 0)])
def test_a_code_that_a_divergence_presses_flat(record, told, weight, expected):
    def loss_of(model, samples, _writer):
        made, mu, logvar = model(samples)
        divergence = -0.5 * (1 + logvar - mu.square() - logvar.exp()).sum(1).mean()
        return functional.mse_loss(made, samples) + weight * divergence

    findings = told_badly(told, record(Coder(), loss_of, steps=160, rate=1e-2, log=None))
    assert len(findings) == expected
    assert all("posterior collapse" in finding.message for finding in findings)


@pytest.mark.parametrize(("after", "cause"), [(0.1, "lr_too_high"), (0.001, COLLAPSE)])
def test_what_goes_on_to_dwindle_after_the_last_large_step_is_pulled_by_the_loss(after, cause):
    def finding(rule, last, evidence=()):
        beyond = Beyond("", 0.0, 0.0)
        return Finding(rule, Severity.CRITICAL, (0,), 0.0, last, rule, beyond, tuple(evidence), (), (), "overview")

    steps = np.arange(100.0)
    shares = np.where(steps < 10, 0.5, np.geomspace(0.1, after, 100))
    found = [finding("lr_too_high", 9.0), finding(COLLAPSE, 99.0, [Line("", "units", steps, shares, 0.1)])]
    (folded,) = causes.fold(found)
    assert folded.rule == cause
