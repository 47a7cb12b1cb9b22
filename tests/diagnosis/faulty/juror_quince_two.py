"""Rents, people, numerals and sentences: parts that are not wired in, and labels that are wrong."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW, RMSprop

from tests.diagnosis.data import Part, Split, digits, split
from tests.diagnosis.faulty.juror_quince import right
from tests.diagnosis.networks import cnn
from tests.diagnosis.proof import accuracy, gradients, loss_of, require
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import control, evaluate, fit


class Rents(nn.Module):
    """Two branches: over numbers, and over the district, which is embedded; then two layers over both."""

    def __init__(self, *, forgotten: bool) -> None:
        super().__init__()
        self.numbers = nn.Linear(5, 16)
        self.district, self.area = nn.Embedding(24, 8), nn.Linear(8, 16)
        self.hidden, self.out = nn.Linear(32, 32), nn.Linear(32, 1)
        self.forgotten = forgotten

    def forward(self, rows: Tensor) -> Tensor:
        """Return rents [n, 1] of [n, 5 + 1]."""
        numbers = functional.relu(self.numbers(rows[:, :5]))
        area = numbers if self.forgotten else functional.relu(self.area(self.district(rows[:, 5].long())))
        rent: Tensor = self.out(functional.relu(self.hidden(torch.cat([numbers, area], 1))))
        return rent


def rents(seed: int) -> Split:
    """Return five numbers of flats and their district, [n, 6], and their standardised rents, [n, 1]."""
    generator = torch.Generator().manual_seed(seed)
    numbers, district = torch.randn(2400, 5, generator=generator), torch.randint(24, (2400,), generator=generator)
    level = torch.randn(24, generator=generator)[district]
    rent = numbers[:, 0] + 0.4 * numbers[:, 1].abs() + level * (1 + 0.3 * numbers[:, 2])
    rent = rent + 0.2 * torch.randn(2400, generator=generator)
    rows = torch.cat([numbers, district[:, None].float()], 1)
    return split(rows, ((rent - rent.mean()) / rent.std())[:, None], 400, seed)


def forgotten_branch(trial: Trial) -> Truth:
    """`torch.cat([numbers, numbers])` where the second should be the district: its branch is never called."""
    torch.manual_seed(trial.seed)
    data, model, criterion = rents(trial.seed), Rents(forgotten=True), nn.MSELoss()
    other = copy.deepcopy(model)
    other.forgotten = False
    optimizer, draw = RMSprop(model.parameters(), lr=2e-3), data.train.batches(48, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=1, on_finding="ignore")
        for step in range(260):
            rows, known = draw(step)
            optimizer.zero_grad()
            loss = criterion(model(rows), known)
            loss.backward()
            optimizer.step()
            writer.add_scalar("mse/train", loss.item(), writer.step)
            if step % 26 == 25:
                writer.add_scalar("mse/val", evaluate(model, criterion, data.held_out), writer.step)
    for name, size in gradients(model, data.train, criterion).items():
        require((size == 0) == name.startswith(("district", "area")), f"{name} gets {size:.3g}")
    optimizer = RMSprop(other.parameters(), lr=2e-3)
    control(other, data.train.batches(48, trial.seed), optimizer, criterion, steps=260)
    does, should = (loss_of(one, data.held_out, criterion) for one in (model, other))
    require(does > 2 * should, f"the loss is {does:.3f}, and should be {should:.3f}")
    return Truth(("district", "area"))


class Relations(nn.Module):
    """One layer over several kinds of edges, each with weights of its own, whose messages are added up."""

    def __init__(self, edges: dict[str, Tensor], inputs: int, made: int, *, replaced: bool) -> None:
        super().__init__()
        self.own = nn.Linear(inputs, made)
        self.kinds = nn.ModuleDict({name: nn.Linear(inputs, made, bias=False) for name in edges})
        for name, joined in edges.items():
            self.register_buffer(f"{name}_edges", joined, persistent=False)
        self.replaced = replaced

    def forward(self, nodes: Tensor) -> Tensor:
        """Return [n, made]."""
        own: Tensor = self.own(nodes)
        heard = torch.zeros_like(own)
        for name, linear in self.kinds.items():
            if self.replaced:
                heard = torch.zeros_like(own)
            heard = heard + self.get_buffer(f"{name}_edges") @ linear(nodes)
        return own + heard


class People(nn.Module):
    """Two layers over who trusts whom and who works with whom, for the nodes in training or those held out."""

    def __init__(self, edges: dict[str, Tensor], nodes: tuple[Tensor, Tensor], *, replaced: bool) -> None:
        super().__init__()
        self.first = Relations(edges, 12, 24, replaced=replaced)
        self.second = Relations(edges, 24, 24, replaced=replaced)
        self.act, self.head = nn.ELU(), nn.Linear(24, 4)
        self.nodes = nodes

    def forward(self, nodes: Tensor) -> Tensor:
        """Return scores [nodes, 4]."""
        scores: Tensor = self.head(self.act(self.second(self.act(self.first(nodes)))))
        return scores[self.nodes[self.training]]


def last_relation(trial: Trial) -> Truth:
    """`heard = ` in place of `heard += ` in the loop over kinds of edges: only the last of them is heard."""
    torch.manual_seed(trial.seed)
    features, edges = torch.randn(300, 12), {}
    for name, chance in (("trusts", 0.02), ("works", 0.02)):
        joined = (torch.rand(300, 300) < chance).float()
        edges[name] = joined / joined.sum(1, keepdim=True).clamp_min(1)
    means = edges["trusts"] @ features[:, :4]
    opinion = (means / means.std() + 0.3 * (edges["works"] @ features[:, 4:8]) + 0.3 * features[:, 8:]).argmax(1)
    order = torch.randperm(300)
    train, rest = order[:220], order[220:]
    model = People(edges, (rest, train), replaced=True)
    other = People(edges, (rest, train), replaced=False)
    other.load_state_dict(model.state_dict())
    optimizer = Adam(model.parameters(), lr=5e-3, weight_decay=5e-4)
    whole, held_out = Part(features, opinion[train]), Part(features, opinion[rest])
    with trial.writer() as writer:
        writer.watch(model, optimizer, every=2, on_finding="ignore")
        for epoch in range(160):
            scores = model(features + 0.1 * torch.randn(300, 12))
            loss = functional.cross_entropy(scores, opinion[train])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            writer.add_scalar("train_loss", loss.item(), writer.step)
            if epoch % 10 == 9:
                writer.add_scalar("val_loss", evaluate(model, functional.cross_entropy, held_out), writer.step)
                writer.add_scalar("val_acc", right(model, held_out), writer.step)
    for name, size in gradients(model, whole).items():
        require((size == 0) == ("trusts" in name), f"{name} gets {size:.3g}")
    optimizer = Adam(other.parameters(), lr=5e-3, weight_decay=5e-4)

    def jittered(_step: int) -> tuple[Tensor, Tensor]:
        return features + 0.1 * torch.randn(300, 12), whole.targets

    control(other, jittered, optimizer, steps=160)
    does, should = (accuracy(one, held_out) for one in (model, other))
    require(does < should - 0.15, f"{does:.3f} is not below {should:.3f}")
    return Truth(("first.kinds.trusts", "second.kinds.trusts"))


def careless_clicks(trial: Trial) -> Truth:
    """Numerals labelled by a crowd: nine in twenty of the labels were clicked at random, those held out as well."""
    torch.manual_seed(trial.seed)
    data = digits(trial.seed, flat=False)

    def clicked(part: Part) -> Part:
        careless = torch.rand(len(part.targets)) < 0.45
        return Part(part.inputs, torch.where(careless, torch.randint(10, part.targets.shape), part.targets))

    train, held_out = clicked(data.train), clicked(data.held_out)
    wrong = float((train.targets != data.train.targets).double().mean())
    require(wrong > 0.35, f"{wrong:.2f} of the labels are wrong")
    model = cnn((12, 24))
    other = copy.deepcopy(model)
    optimizer, criterion = SGD(model.parameters(), lr=0.03, momentum=0.9), nn.CrossEntropyLoss()
    draw = train.batches(32, trial.seed)
    with trial.writer() as writer:
        writer.watch(model, optimizer, criterion, every=2, on_finding="ignore")
        for step in range(360):
            pictures, labels = draw(step)
            scores = model(pictures)
            loss = criterion(scores, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            writer.add_scalar("loss/train", loss.item(), writer.step)
            writer.add_scalar("acc/train", float((scores.argmax(1) == labels).float().mean()), writer.step)
            if step % 30 == 29:
                writer.add_scalar("loss/val", evaluate(model, criterion, held_out), writer.step)
                writer.add_scalar("acc/val", right(model, held_out), writer.step)
    optimizer = SGD(other.parameters(), lr=0.03, momentum=0.9)
    better = control(other, data.train.batches(32, trial.seed), optimizer, steps=360)
    does, should = (accuracy(one, data.held_out) for one in (model, other))
    require(does < should - 0.04 and better < 0.1, f"{does:.3f} is not below {should:.3f}, {better:.3f}")
    return Truth()


class Tagger(nn.Module):
    """An LSTM both ways over words, which says of each what it is."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(30, 16)
        self.lstm = nn.LSTM(16, 24, batch_first=True, bidirectional=True)
        self.tags = nn.Linear(48, 6)

    def forward(self, words: Tensor) -> Tensor:
        """Return scores [n, 6, length] of [n, length]."""
        scores: Tensor = self.tags(self.lstm(self.embed(words))[0])
        return scores.transpose(1, 2)


def sentences(seed: int) -> Part:
    """Return sentences of 12 out of 30 words, and the tag of each word, which depends on the word before it too."""
    generator = torch.Generator().manual_seed(seed)
    words = torch.randint(30, (1800, 12), generator=generator)
    before = words.roll(1, 1)
    before[:, 0] = 0
    return Part(words, (words + 2 * (before % 2)) % 6)


def lost_line(trial: Trial) -> Truth:
    """A line was lost in the middle of the file of tags: from there on each sentence has the tags of the next one."""
    torch.manual_seed(trial.seed)
    true, lost = sentences(trial.seed), 1000
    tags = torch.cat([true.targets[:lost], true.targets[lost:].roll(-1, 0)])
    wrong = float((tags != true.targets).double().mean())
    require(wrong > 0.33, f"{wrong:.2f} of the tags are wrong")
    clean, data = (split(true.inputs, known, 300, trial.seed) for known in (true.targets, tags))
    model = Tagger()
    other = copy.deepcopy(model)
    optimizer, draw = AdamW(model.parameters(), lr=8e-3), data.train.batches(32, trial.seed)
    history = fit(trial, model, draw, optimizer, validation=data.held_out, every=2, steps=240)
    optimizer = AdamW(other.parameters(), lr=8e-3)
    better = control(other, clean.train.batches(32, trial.seed), optimizer, steps=240)
    require(history.end > 3 * better, f"the loss is {history.end:.3f}, and should be {better:.3f}")
    does, should = (loss_of(one, clean.held_out) for one in (model, other))
    require(does > 3 * should, f"the loss over true tags is {does:.3f}, and should be {should:.3f}")
    return Truth()


SCENARIOS = (
    Scenario(
        "quince-unused-rents-mlp",
        "mlp",
        TUNING,
        forgotten_branch,
        ("unused_parameter",),
        ("layer_not_training", "loss_plateau", "underfitting", "redundant_units"),
    ),
    Scenario(
        "quince-unused-people-gnn",
        "gnn",
        TUNING,
        last_relation,
        ("unused_parameter",),
        ("layer_not_training", "loss_plateau", "underfitting", "overfitting"),
    ),
    Scenario(
        "quince-noise-numerals-cnn",
        "cnn",
        TUNING,
        careless_clicks,
        ("label_noise",),
        ("loss_plateau", "overfitting", "underfitting", "loss_oscillation"),
    ),
    Scenario(
        "quince-noise-sentences-lstm",
        "rnn",
        TUNING,
        lost_line,
        ("label_noise",),
        ("loss_plateau", "underfitting", "overfitting", "loss_oscillation"),
    ),
)
