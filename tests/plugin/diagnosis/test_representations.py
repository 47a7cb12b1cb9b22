"""Representations that collapse or are smoothed away, and healthy ones, in short trainings."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from tb_netviz.recorder import activity
from tb_netviz_plugin.diagnosis import Severity

COLLAPSE, SMOOTH = "representation_collapse", "oversmoothing"
FEATURES, WIDTH, NODES = 12, 8, 60


def drawn(step, count=64):
    return torch.randn(count, FEATURES, generator=torch.Generator().manual_seed(step))


class Twins(nn.Module):
    """Embeds two views of each sample."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.encoder = nn.Sequential(nn.Linear(FEATURES, 32), nn.ReLU(), nn.Linear(32, WIDTH))

    def forward(self, views):
        return torch.stack([self.encoder(views[0]), self.encoder(views[1])])


def views(step):
    inputs = drawn(step)
    noise = torch.randn(2, *inputs.shape, generator=torch.Generator().manual_seed(step + 5000))
    return inputs + 0.3 * noise, torch.arange(len(inputs))


def agree(made, _targets):
    return (made[0] - made[1]).square().mean()


def agree_and_vary(made, targets):
    return agree(made, targets) + functional.relu(1 - made.std(1)).mean()


def contrast(made, targets):
    return functional.cross_entropy(
        functional.normalize(made[0], dim=1) @ functional.normalize(made[1], dim=1).T / 0.2, targets
    )


def test_embeddings_that_become_one(train, told):
    (finding,) = told(train(Twins(), agree, views, steps=200), COLLAPSE)
    assert finding.severity is Severity.CRITICAL
    assert finding.layers == (1,)
    assert 0 < finding.first_step < 100
    assert finding.last_step == 199
    assert finding.beyond.measured <= 0.1


@pytest.mark.parametrize("criterion", [agree_and_vary, contrast])
def test_embeddings_that_are_kept_apart(train, told, criterion):
    assert told(train(Twins(), criterion, views, steps=200), COLLAPSE) == []


def pull_together(made, classes):
    """Pull what is of one class together, and nothing apart."""
    return ((made[0][:, None] - made[0]).square().sum(-1) * (classes[:, None] == classes)).mean()


def test_labels_that_only_tell_pairs_do_not_hide_a_collapse(train, told):
    def batch(step):
        return views(step)[0], torch.arange(64) % 4

    (finding,) = told(train(Twins(), pull_together, batch, steps=200), COLLAPSE)
    assert finding.severity is Severity.CRITICAL


def regression(outputs=1):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(FEATURES, 32), nn.ReLU(), nn.Linear(32, outputs))


@pytest.mark.parametrize(
    ("scale", "shift", "noise"),
    [(1.0, 0.0, 0.1), (0.01, 10.0, 0.0), (1.0, 0.0, 3.0)],
)
def test_a_regression_whose_outputs_follow_its_targets(train, told, scale, shift, noise):
    def batch(step):
        inputs = drawn(step)
        extra = noise * torch.randn(64, 1, generator=torch.Generator().manual_seed(step + 5000))
        return inputs, shift + scale * (inputs[:, :1] + extra)

    run = train(regression(), nn.MSELoss(), batch, steps=300)
    assert [finding for finding in told(run, COLLAPSE) if finding.severity > Severity.INFO] == []


def test_a_regression_that_always_answers_the_same(train, told):
    model = regression()
    with torch.no_grad():
        model[0].bias.fill_(-100.0)
    (finding,) = told(train(model, nn.MSELoss(), lambda step: (drawn(step), drawn(step)[:, :1])), COLLAPSE)
    assert finding.severity is Severity.INFO
    assert "all outputs are nearly the same" in finding.message


def test_inputs_that_are_all_the_same_are_another_fault(train, reason):
    def batch(step):
        return torch.ones(64, FEATURES), drawn(step)[:, :1]

    assert reason(train(regression(), nn.MSELoss(), batch), COLLAPSE) == "all samples are the same to the network"


class GraphConvolution(nn.Module):
    """A linear layer and a mean over neighbours."""

    def __init__(self, edges, inputs, outputs):
        super().__init__()
        self.edges, self.linear = edges, nn.Linear(inputs, outputs)

    def forward(self, nodes):
        return self.edges @ self.linear(nodes)


class Layers(nn.Module):
    """Graph convolutions, or what is made in their place, one after another."""

    def __init__(self, depth, make, *, residual=False):
        super().__init__()
        torch.manual_seed(0)
        self.convs = nn.ModuleList(make(FEATURES if at == 0 else WIDTH, WIDTH) for at in range(depth))
        self.acts = nn.ModuleList(nn.LeakyReLU() for _ in range(depth))
        self.head, self.residual = nn.Linear(WIDTH, 3), residual
        for name, weight in self.named_parameters():
            if name.endswith("weight"):
                nn.init.orthogonal_(weight, gain=1.3)

    def forward(self, nodes):
        for at, (conv, act) in enumerate(zip(self.convs, self.acts, strict=True)):
            made = act(conv(nodes))
            nodes = nodes + made if self.residual and at else made
        return self.head(nodes)


def edges():
    generator = torch.Generator().manual_seed(0)
    linked = (torch.rand(NODES, NODES, generator=generator) < 0.15).float() + torch.eye(NODES)
    return linked / linked.sum(1, keepdim=True)


def nodes(step):
    """Return a graph whose nodes are of three kinds that lie far apart."""
    kinds = torch.arange(NODES) % 3
    return drawn(step, NODES) + 2 * torch.eye(FEATURES)[kinds], kinds


def convolution(inputs, outputs):
    return GraphConvolution(edges(), inputs, outputs)


def test_a_deep_graph_network_smooths_everything(train, told):
    (finding,) = told(train(Layers(10, convolution), nn.CrossEntropyLoss(), nodes, rate=1e-3), SMOOTH)
    assert finding.severity is Severity.WARNING
    assert finding.layers[0] in (1, 2, 3)
    assert len(finding.layers) >= 6
    assert finding.first_step == 0


def test_so_does_one_whose_head_makes_much_of_what_is_left(train, told):
    model = Layers(10, convolution)
    model.head.register_forward_pre_hook(lambda _head, given: (20 * (given[0] - given[0].mean(0)),))
    (finding,) = told(train(model, nn.CrossEntropyLoss(), nodes, rate=1e-5), SMOOTH)
    assert finding.layers[-1] == 9


def tell_apart(conv):
    """Have a convolution get nodes that differ as much as they can, and keep them so."""
    conv.register_forward_pre_hook(lambda _conv, given: ((given[0] - given[0].mean(0)) / given[0].std(0),))
    conv.edges = torch.eye(NODES)


def test_so_does_one_whose_last_layers_do(train, told):
    model = Layers(14, convolution)
    tell_apart(model.convs[13])
    (finding,) = told(train(model, nn.CrossEntropyLoss(), nodes, rate=1e-5), SMOOTH)
    assert finding.layers[-1] == 12


def test_not_where_as_many_layers_tell_items_apart_again(train, told):
    model = Layers(10, convolution)
    for conv in model.convs[7:]:
        tell_apart(conv)
    assert told(train(model, nn.CrossEntropyLoss(), nodes, rate=1e-5), SMOOTH) == []


@pytest.mark.parametrize(("averages", "expected"), [(True, 1), (False, 0)])
def test_weights_that_decay_since_items_were_alike_at_first(train, told, averages, expected):
    """No gradient comes through: what the last layers get is rounding in the end, which differs from item to item."""
    model = Layers(10, convolution)
    for conv in model.convs:
        conv.linear.weight.data.mul_(0.25)
        conv.edges = conv.edges if averages else torch.eye(NODES)

    def batch(step):
        for conv in model.convs if step < 20 else ():
            conv.linear.weight.data.mul_(0.8)
        for conv in model.convs[5:] if step == 15 else ():
            tell_apart(conv)
        return nodes(step)

    assert len(told(train(model, nn.CrossEntropyLoss(), batch, rate=1e-5), SMOOTH)) == expected


class Mixing(nn.Module):
    """A linear layer, behind which each word is mostly the mean of its sentence."""

    def __init__(self):
        super().__init__()
        self.linear, self.act = nn.Linear(WIDTH, WIDTH), nn.LeakyReLU()

    def forward(self, words):
        return self.act(self.linear(0.9 * words.mean(1, keepdim=True) + 0.1 * words))


class Attending(Mixing):
    """Attention that looks at all words of a sentence alike."""

    def forward(self, words):
        weights = functional.softmax(0.01 * words @ words.transpose(1, 2), dim=-1)
        return self.act(self.linear(weights @ words))


def linear():
    return nn.Linear(WIDTH, WIDTH)


class Sentences(nn.Module):
    """Mixes words some times, and says something of each, or of the sentence."""

    def __init__(self, depth, mixing=Mixing, *, residual=False, pooled=False):
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.head = nn.Linear(FEATURES, WIDTH), nn.Linear(WIDTH, 3)
        self.layers = nn.ModuleList(mixing() for _ in range(depth))
        self.residual, self.pooled = residual, pooled
        for name, weight in self.named_parameters():
            if name.endswith("weight"):
                nn.init.orthogonal_(weight, gain=1.3)

    def forward(self, words):
        hidden = self.embed(words)
        for layer in self.layers:
            hidden = layer(hidden) + (hidden if self.residual else 0)
        scores = self.head(hidden.mean(1) if self.pooled else hidden)
        return scores if self.pooled else scores.transpose(1, 2)


def words(step, apart=1.0):
    """Return 32 sentences of 10 words that have something in common; a word is of the class of its largest feature."""
    sentences = drawn(step, 32)[:, None] + apart * drawn(step + 5000, 320).view(32, 10, FEATURES)
    return sentences, sentences[..., :3].argmax(-1)


def of_all(step):
    sentences, _ = words(step)
    return sentences, sentences.mean(1)[:, :3].argmax(-1)


def test_words_of_a_sentence_become_alike_while_sentences_differ(train, told):
    (finding,) = told(train(Sentences(5), nn.CrossEntropyLoss(), words, rate=1e-4), SMOOTH)
    assert finding.severity is Severity.WARNING
    assert finding.layers == (2, 3, 4, 5, 6)
    assert (finding.first_step, finding.last_step) == (0, 59)
    assert 0 < finding.beyond.measured <= finding.beyond.threshold == 0.05
    assert "all places of an entry" in finding.message
    assert finding.evidence[0].values == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize(
    "model", [Sentences(5, residual=True), Sentences(1), Sentences(5, linear), Sentences(1, pooled=True)]
)
def test_networks_that_keep_words_apart(train, told, model):
    batch = of_all if model.pooled else words
    assert told(train(model, nn.CrossEntropyLoss(), batch, rate=1e-4), SMOOTH) == []


def test_words_that_are_alike_to_begin_with(train, told):
    run = train(Sentences(5), nn.CrossEntropyLoss(), lambda step: words(step, apart=0.05), rate=1e-4)
    assert told(run, SMOOTH) == []


@pytest.mark.parametrize(("mixing", "expected"), [(Mixing, 0), (Attending, 1)])
def test_where_the_loss_falls_only_attention_is_of_no_use(train, told, mixing, expected):
    """What is asked for is one answer to each sentence: that words are alike takes no harm."""
    run = train(Sentences(6, mixing, pooled=True), nn.CrossEntropyLoss(), of_all, steps=300, rate=3e-3)
    findings = told(run, SMOOTH)
    assert [finding.severity for finding in findings] == [Severity.WARNING] * expected
    assert all("attentions" in finding.excluded[-1] for finding in findings)


def test_of_older_runs_nothing_is_said_of_places(train, told, monkeypatch):
    monkeypatch.setattr(activity, "ACTIVATION_IDS", activity.ACTIVATION_IDS[:-1])
    assert told(train(Sentences(5), nn.CrossEntropyLoss(), words, rate=1e-4), SMOOTH) == []


@pytest.mark.parametrize("model", [Layers(3, convolution), Layers(8, convolution, residual=True), Layers(8, nn.Linear)])
def test_networks_that_keep_items_apart(train, told, model):
    assert told(train(model, nn.CrossEntropyLoss(), nodes, rate=3e-3), SMOOTH) == []


def test_units_are_needed(train, reason):
    run = train(nn.Linear(FEATURES, 300), nn.MSELoss(), lambda step: (drawn(step), torch.zeros(64, 300)), steps=25)
    assert reason(run, COLLAPSE) == "single units were not recorded"
