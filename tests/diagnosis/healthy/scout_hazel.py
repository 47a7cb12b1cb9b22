"""Healthy trainings that look ill: states at their ends, a loss that is flat, codes that say nothing, much dropout."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam, AdamW

from tests.diagnosis.data import Part, communities, split
from tests.diagnosis.networks import Gcn
from tests.diagnosis.proof import accuracy, calm, double, generalises, loss_of, outputs, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial
from tests.diagnosis.training import control, fit


def switches(seed: int, count: int = 1200) -> Part:
    """Return pulses of three switches, [n, 20, 3], which are mostly 0, and which way each was pushed last."""
    generator = torch.Generator().manual_seed(seed)
    signs = torch.randint(2, (count, 20, 3), generator=generator) * 2.0 - 1
    pulses = signs * (torch.rand(count, 20, 3, generator=generator) < 0.25)
    pulses[:, 0] = signs[:, 0]
    held = [pulses[:, 0]]
    for at in range(1, 20):
        held.append(torch.where(pulses[:, at] == 0, held[-1], pulses[:, at]))
    return Part(pulses, torch.stack(held, 1))


class Latch(nn.Module):
    """A plain RNN that tells at every place how the switches stand, each by a tanh or by any number."""

    def __init__(self, *, bounded: bool) -> None:
        super().__init__()
        self.rnn, self.head = nn.RNN(3, 32, batch_first=True), nn.Linear(32, 3)
        self.out = nn.Tanh() if bounded else nn.Identity()

    def forward(self, pulses: Tensor) -> Tensor:
        """Return [n, places, 3]."""
        told: Tensor = self.out(self.head(self.rnn(pulses)[0]))
        return told


def flip_flop(trial: Trial) -> None:
    """The flip-flop task: an RNN holds three bits of -1 or 1, so that its outputs ought to be at the ends of a tanh."""
    torch.manual_seed(trial.seed)
    known, criterion = switches(trial.seed), nn.MSELoss()
    data, model = split(known.inputs, known.targets, 240, trial.seed), Latch(bounded=True)
    other = Latch(bounded=False)
    other.load_state_dict(model.state_dict())
    optimizer, draw = Adam(model.parameters(), lr=5e-3), data.train.batches(48, trial.seed)
    history = fit(trial, model, draw, optimizer, criterion, validation=data.held_out, every=2, steps=360)
    control(other, data.train.batches(48, trial.seed), Adam(other.parameters(), lr=5e-3), criterion, steps=360)
    held, free = (loss_of(net, data.held_out, criterion) for net in (model, other))
    require(held < 0.05, f"the error is {held:.3g} of a variance of 1")
    require(held < free, f"without a tanh the error is {free:.3g}, with it {held:.3g}")
    told = outputs(model, "out", data.held_out.inputs)
    right = float(((told > 0) == (data.held_out.targets > 0)).double().mean())
    require(right > 0.99, f"{right:.3f} of the bits are right")
    share = float((told.abs() > 0.95).double().mean())
    require(share > 0.5, f"{share:.2f} of the outputs are at their ends")
    calm(history)
    generalises(history)


def chain(seed: int, count: int = 1200) -> tuple[Part, float]:
    """Return sequences of ten tokens, [n, 24], and those that follow; and the entropy of what follows."""
    generator = torch.Generator().manual_seed(seed)
    chances = torch.distributions.Dirichlet(torch.full((10,), 0.4))
    torch.manual_seed(seed)
    table = chances.sample((10,))
    tokens = [torch.randint(10, (count,), generator=generator)]
    for _place in range(24):
        tokens.append(torch.multinomial(table[tokens[-1]], 1, generator=generator)[:, 0])
    whole = torch.stack(tokens, 1)
    known = table[whole[:, :-1]].gather(2, whole[:, 1:, None]).log()
    return Part(whole[:, :-1], whole[:, 1:]), -float(known.mean())


class Causal(nn.Module):
    """Embeds tokens and passes them through two convolutions that don't look ahead."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(10, 16)
        self.conv1, self.conv2 = nn.Conv1d(16, 32, 3), nn.Conv1d(32, 32, 3)
        self.head = nn.Conv1d(32, 10, 1)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return scores of each place, [n, 10, length]."""
        hidden = self.embed(tokens).transpose(1, 2)
        for conv in (self.conv1, self.conv2):
            hidden = functional.gelu(conv(functional.pad(hidden, (2, 0))))
        scores: Tensor = self.head(hidden)
        return scores


def at_entropy(trial: Trial) -> None:
    """A language of chance: the loss is at its entropy after a quarter of the run and stays there, as it must."""
    torch.manual_seed(trial.seed)
    known, entropy = chain(trial.seed)
    data, criterion = split(known.inputs, known.targets, 240, trial.seed), nn.CrossEntropyLoss()
    model, losses = Causal(), []
    optimizer, draw = AdamW(model.parameters(), lr=5e-3, weight_decay=0.01), data.train.batches(48, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(280):
            tokens, following = draw(step)
            optimizer.zero_grad()
            loss = criterion(model(tokens), following)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            writer.add_scalar("train_loss", loss.item(), writer.step)
    held, early, end = loss_of(model, data.held_out), sum(losses[70:110]) / 40, sum(losses[240:]) / 40
    require(held < 1.04 * entropy, f"the loss is {held:.3g} and the entropy {entropy:.3g}")
    require(held < losses[0] - 0.4, f"the loss goes from {losses[0]:.3g} to {held:.3g}")
    require(early - end < 0.05 * early, f"the loss still falls from {early:.3g} to {end:.3g}")


class Tides(nn.Module):
    """A variational autoencoder with eight numbers for what depends on two."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(30, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU())
        self.mu, self.logvar = nn.Linear(64, 8), nn.Linear(64, 8)
        self.decoder = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 30))

    def forward(self, tides: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return tides [n, 30], and the means and logarithms of variances of their codes."""
        hidden = self.encoder(tides)
        mu, logvar = self.mu(hidden), self.logvar(hidden)
        code = mu + (logvar / 2).exp() * torch.randn_like(mu) if self.training else mu
        return self.decoder(code), mu, logvar


def pruned(trial: Trial) -> None:
    """VAE of tides that depend on two numbers: it leaves most of its eight codes at the prior, as it ought to."""
    torch.manual_seed(trial.seed)
    causes, hours = torch.randn(1600, 2), torch.linspace(0, 6.3, 30)
    clean = causes[:, :1] * hours.sin() + causes[:, 1:] * (2 * hours).cos() * (1 + 0.3 * causes[:, :1])
    tides = clean + 0.2 * torch.randn(clean.shape)
    data, model = split(tides, clean, 300, trial.seed), Tides()
    optimizer, draw = Adam(model.parameters(), lr=3e-3), data.train.batches(64, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for step in range(360):
            inputs, _ = draw(step)
            made, mu, logvar = model(inputs)
            kl = (-0.5 * (1 + logvar - mu.square() - logvar.exp())).sum(1).mean()
            error = (made - inputs).square().sum(1).mean() / (2 * 0.3**2)
            loss = error + kl
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            writer.add_scalar("loss/elbo", loss.item(), writer.step)
            writer.add_scalar("loss/kl", kl.item(), writer.step)
    with torch.no_grad():
        made, mu, _ = double(model).eval()(data.held_out.inputs.double())
    left = float((made - data.held_out.targets).square().mean() / data.held_out.targets.var(0).mean())
    require(left < 0.06, f"{left:.3f} of the variance is left")
    idle = int((mu.std(0) < 0.3).sum())
    require(4 <= idle <= 6, f"{idle} of the codes say nothing: {mu.std(0)}")


def few_labels(trial: Trial) -> None:
    """A wide GCN for few labels, with the usual dropout of a half and decay: in training it looks worse than it is."""
    torch.manual_seed(trial.seed)
    graph = communities(trial.seed, size=40, inside=0.12, between=0.02)
    model = Gcn(graph, width=48, dropout=0.5)
    other = Gcn(graph, width=48)
    other.load_state_dict(model.state_dict())
    optimizer, draw = Adam(model.parameters(), lr=5e-3, weight_decay=5e-3), graph.batches(trial.seed)
    history = fit(trial, model, draw, optimizer, validation=graph.validation, every=2, steps=200)
    control(other, graph.batches(trial.seed), Adam(other.parameters(), lr=5e-3), steps=200)
    share, without = (accuracy(net, graph.validation) for net in (model, other))
    require(share > 0.85, f"{share:.3f} of the nodes held out are right")
    require(share > without - 0.02, f"without dropout and decay {without:.3f} are right, with them {share:.3f}")
    does, should = (loss_of(net, graph.validation) for net in (model, other))
    require(does < should, f"the loss held out is {does:.3g}, and without them {should:.3g}")
    require(float((outputs(model, "head", graph.features)).std()) > 0.5, "the scores are small")
    generalises(history)
    calm(history)


SCENARIOS = (
    Scenario("hazel-healthy-switches-rnn", "rnn", TUNING, flip_flop),
    Scenario("hazel-healthy-entropy-cnn", "cnn", TUNING, at_entropy),
    Scenario("hazel-healthy-tides-mlp", "mlp", TUNING, pruned),
    Scenario("hazel-healthy-labels-gnn", "gnn", TUNING, few_labels),
)
