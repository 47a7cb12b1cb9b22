"""Units that are dead, saturated or copies of one another, and weights that begin wrong."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam

from tb_netviz_plugin.diagnosis import Severity
from tests.diagnosis.data import Part, communities, digits, first_tokens, majorities, patients
from tests.diagnosis.networks import Attention, Block, Gcn, Transformer, cnn, deep, mlp
from tests.diagnosis.proof import gradients, loss_of, outputs, require, silent
from tests.diagnosis.scenario import TUNING, Scenario, Trial, Truth
from tests.diagnosis.training import fit


def dead(model: nn.Module, module: str, layer: str, inputs: Tensor, share: float, onset: int = 0) -> Truth:
    """Return the truth that so large a share of a rectifier's units never fires; raise if it does."""
    silence = float(silent(model, module, inputs).double().mean())
    require(silence >= share, f"only {silence:.2f} of {module} are dead")
    return Truth((layer,), onset)


def saturated(model: nn.Module, module: str, layers: tuple[str, ...], inputs: Tensor, bound: float = 0.99) -> Truth:
    """Return the truth that nearly all values of a tanh, a sigmoid or a softmax lie at an end; raise if not."""
    values = outputs(model, module, inputs)
    low = 1 - bound if float(values.min()) >= 0 else -bound
    share = float(((values >= bound) | (values <= low)).double().mean())
    require(share > 0.9, f"only {share:.2f} of {module} are saturated")
    return Truth(layers)


def twins(weight: Tensor, layer: str, share: float = 0.45) -> Truth:
    """Return the truth that so many rows of a weight equal another one; raise if they don't."""
    rows = weight.detach().double().flatten(1)
    distances = torch.cdist(rows, rows).fill_diagonal_(torch.inf)
    near = float((distances.min(1).values < 1e-6 * rows.norm(dim=1).clamp_min(1e-30)).double().mean())
    require(near >= share, f"only {near:.2f} of {layer} are copies")
    return Truth((layer,))


def shift(layer: nn.Module, bias: float, units: slice = slice(None)) -> None:
    """Set the bias of some units."""
    with torch.no_grad():
        layer.bias[units] = bias


def dead_by_bias(trial: Trial) -> Truth:
    """A whole layer begins with biases of −20."""
    data = digits(trial.seed)
    model = mlp((64, 48, 48, 48, 10))
    shift(model.fc2, -20.0)
    fit(trial, model, data.train.batches(64), Adam(model.parameters(), lr=1e-3))
    return dead(model, "act2", "fc2", data.train.inputs, 1.0)


def dead_after_a_bad_batch(trial: Trial) -> Truth:
    """A batch whose inputs are two thousand times too large at step 120 kills most units."""
    data = digits(trial.seed)
    model = mlp((64, 48, 48, 10))
    draw = data.train.batches(64)

    def batches(step: int) -> tuple[Tensor, Tensor]:
        inputs, targets = draw(step)
        return (inputs.abs() * 2000 if step == 120 else inputs), targets

    fit(trial, model, batches, SGD(model.parameters(), lr=0.1))
    dead(model, "act2", "fc2", data.train.inputs, 0.5)
    return Truth(("fc2", "fc1"), 120)


def dead_channels(trial: Trial) -> Truth:
    """Ten of sixteen channels begin with biases of −10."""
    data = digits(trial.seed, flat=False)
    model = cnn((8, 16), norm=False)
    shift(model.conv2, -10.0, slice(10))
    fit(trial, model, data.train.batches(48), steps=160)
    return dead(model, "act2", "conv2", data.train.inputs, 0.6)


def dead_feed_forward(trial: Trial) -> Truth:
    """The ReLU of the second block of a transformer begins dead."""
    data = majorities(trial.seed)
    model = Transformer(12, 3, block=lambda width: Block(width, nn.ReLU))
    shift(model.blocks[1].up, -15.0)
    fit(trial, model, data.train.batches(32), steps=160)
    return dead(model, "blocks.1.act", "blocks.1.up", data.train.inputs.unsqueeze(0)[0], 1.0)


def dead_nodes(trial: Trial) -> Truth:
    """Eleven of sixteen units of a graph network begin with biases of −12."""
    graph = communities(trial.seed)
    model = Gcn(graph, depth=3)
    shift(model.convs[1].linear, -12.0, slice(11))
    fit(trial, model, graph.batches(), Adam(model.parameters(), lr=5e-3))
    return dead(model, "acts.1", "convs.1.linear", graph.features, 0.65)


class Projected(nn.Module):
    """A recurrent network whose inputs pass a linear layer and an activation first."""

    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        self.project, self.act = nn.Linear(4, 24), activation
        self.rnn, self.head = nn.GRU(24, 24, batch_first=True), nn.Linear(24, 4)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the scores after the last place."""
        scores: Tensor = self.head(self.rnn(self.act(self.project(inputs)))[0][:, -1])
        return scores


def dead_projection(trial: Trial) -> Truth:
    """Most units that lead into a GRU begin far below zero."""
    data = first_tokens(trial.seed, length=6)
    model = Projected(nn.ReLU())
    shift(model.project, -8.0, slice(18))
    fit(trial, model, data.train.batches(32), Adam(model.parameters(), lr=5e-3), steps=200)
    fired = (outputs(model, "act", data.train.inputs) > 0).flatten(0, 1).any(0)
    require(int((~fired).sum()) >= 18, "the units came to life")
    return Truth(("project",))


def saturated_tanh(trial: Trial) -> Truth:
    """Weights two hundred times too large drive tanh to its ends."""
    data = digits(trial.seed)
    model = mlp((64, 48, 48, 10), nn.Tanh)
    with torch.no_grad():
        model.fc2.weight.mul_(200)
    fit(trial, model, data.train.batches(64), SGD(model.parameters(), lr=0.01))
    return saturated(model, "act2", ("fc2",), data.train.inputs)


def saturated_by_raw_inputs(trial: Trial) -> Truth:
    """Sigmoids that are fed with measurements of up to 4,000."""
    data = patients(trial.seed, standardised=False)
    model = mlp((30, 24, 24, 1), nn.Sigmoid)
    fit(trial, model, data.train.batches(64), SGD(model.parameters(), lr=0.05), nn.BCEWithLogitsLoss())
    return saturated(model, "act1", ("fc1",), data.train.inputs)


class Sharp(Block):
    """A block whose attention lacks its scale."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.attention = Attention(width, scale=120.0)


def saturated_attention(trial: Trial) -> Truth:
    """Scores of attention are multiplied by a large factor, so that each place looks at one other only."""
    data = majorities(trial.seed)
    model = Transformer(12, 3, block=Sharp)
    fit(trial, model, data.train.batches(32), steps=160)
    layers = tuple(f"blocks.{at}.attention.{part}" for at in range(2) for part in ("qkv", "out"))
    return saturated(model, "blocks.0.attention.softmax", layers, data.train.inputs[:256])


def saturated_convolution(trial: Trial) -> Truth:
    """The biases of a convolution before tanh begin at ±9."""
    data = digits(trial.seed, flat=False)
    model = cnn((8, 16), nn.Tanh, norm=False)
    with torch.no_grad():
        model.conv2.bias.copy_(9 * torch.sign(torch.randn(16)))
    fit(trial, model, data.train.batches(48), SGD(model.parameters(), lr=0.02), steps=160)
    return saturated(model, "act2", ("conv2",), data.train.inputs)


def saturated_gates(trial: Trial) -> Truth:
    """The gate in front of a GRU begins wide open and stays so."""
    data = first_tokens(trial.seed, length=6)
    model = Projected(nn.Sigmoid())
    shift(model.project, 11.0)
    fit(trial, model, data.train.batches(32), Adam(model.parameters(), lr=2e-3), steps=200)
    return saturated(model, "act", ("project",), data.train.inputs)


def copies(trial: Trial) -> Truth:
    """The second half of a layer is a copy of the first, and so are the weights that read it."""
    data = digits(trial.seed)
    model = mlp((64, 48, 48, 10))
    with torch.no_grad():
        model.fc1.weight[24:], model.fc1.bias[24:] = model.fc1.weight[:24].clone(), model.fc1.bias[:24].clone()
        model.fc2.weight[:, 24:] = model.fc2.weight[:, :24].clone()
    fit(trial, model, data.train.batches(64))
    return twins(model.fc1.weight, "fc1")


def copied_channels(trial: Trial) -> Truth:
    """All channels of a convolution begin with the same weights, and the next layer reads them alike."""
    data = digits(trial.seed, flat=False)
    model = cnn((8, 16), norm=False)
    with torch.no_grad():
        model.conv1.weight[:], model.conv1.bias[:] = model.conv1.weight[0].clone(), 0.1
        model.conv2.weight[:] = model.conv2.weight.mean(1, keepdim=True)
    fit(trial, model, data.train.batches(48), SGD(model.parameters(), lr=0.05), steps=160)
    return twins(model.conv1.weight, "conv1", 0.99)


def copied_feed_forward(trial: Trial) -> Truth:
    """Units of the first block's ReLU stand there twice."""
    data = majorities(trial.seed)
    model = Transformer(12, 3, block=lambda width: Block(width, nn.ReLU))
    up, down = model.blocks[0].up, model.blocks[0].down
    with torch.no_grad():
        up.weight[24:], up.bias[24:] = up.weight[:24].clone(), up.bias[:24].clone()
        down.weight[:, 24:] = down.weight[:, :24].clone()
    fit(trial, model, data.train.batches(32), SGD(model.parameters(), lr=0.05), steps=160)
    return twins(up.weight, "blocks.0.up")


def copied_nodes(trial: Trial) -> Truth:
    """The first graph convolution begins with one row for all units."""
    graph = communities(trial.seed)
    model = Gcn(graph)
    with torch.no_grad():
        model.convs[0].linear.weight[:], model.convs[0].linear.bias[:] = 0.1, 0.0
        model.convs[1].linear.weight[:] = model.convs[1].linear.weight.mean(1, keepdim=True).abs()
    fit(trial, model, graph.batches(), SGD(model.parameters(), lr=0.1))
    return twins(model.convs[0].linear.weight, "convs.0.linear", 0.99)


def all_weights_alike(trial: Trial) -> Truth:
    """Every weight begins at 0.02."""
    data = digits(trial.seed)
    model = mlp((64, 48, 48, 10))
    for value in model.parameters():
        nn.init.constant_(value, 0.02)
    fit(trial, model, data.train.batches(64), SGD(model.parameters(), lr=0.05))
    twins(model.fc1.weight, "fc1", 0.99)
    return Truth(("fc1", "fc2", "head"))


def unit_variance(trial: Trial) -> Truth:
    """Eight layers whose weights have variance 1 instead of 2 / 64."""
    data = digits(trial.seed)
    model = deep(8, 64)
    layers = [layer for layer in model if isinstance(layer, nn.Linear)]
    for layer in layers:
        nn.init.normal_(layer.weight)
    require(loss_of(model, data.train) > 1e3, "the loss at the start is small")
    fit(trial, model, data.train.batches(64), SGD(model.parameters(), lr=1e-6))
    return Truth(tuple(name for name, layer in model.named_children() if layer in layers))


def faint_convolutions(trial: Trial) -> Truth:
    """Five convolutions whose weights have a deviation of 0.003: nothing passes."""
    data = digits(trial.seed, flat=False)
    model = cnn((8,) * 5, norm=False)
    for layer in model:
        if isinstance(layer, nn.Conv2d):
            nn.init.normal_(layer.weight, std=3e-3)
            nn.init.zeros_(layer.bias)
    faint = outputs(model, "conv5", data.train.inputs).std() / data.train.inputs.std()
    require(faint < 1e-6, f"{faint:.2g} passes")
    fit(trial, model, data.train.batches(48), SGD(model.parameters(), lr=0.02), steps=160)
    return Truth(tuple(f"conv{number}" for number in range(1, 6)))


def loud_head(trial: Trial) -> Truth:
    """The head's weights are hundreds of times too large, so that the first predictions are certain and wrong."""
    data = majorities(trial.seed)
    model = Transformer(12, 3)
    nn.init.normal_(model.head.weight, std=40.0)
    require(loss_of(model, data.train) > 15, "the loss at the start is small")
    fit(trial, model, data.train.batches(32), Adam(model.parameters(), lr=1e-3), steps=200)
    return Truth(("head",))


def zeros_in_the_middle(trial: Trial) -> Truth:
    """Weights and biases of a layer, and of the next, begin at zero, so that neither ever gets a gradient."""
    graph = communities(trial.seed)
    model = Gcn(graph, depth=3)
    for at in (1, 2):
        nn.init.zeros_(model.convs[at].linear.weight)
        nn.init.zeros_(model.convs[at].linear.bias)
    fit(trial, model, graph.batches(), SGD(model.parameters(), lr=0.1))
    sizes = gradients(model, Part(graph.features, graph.communities[graph.train]))
    require(not any(sizes[name] for name in sizes if name.startswith("convs.")), "a gradient arrives")
    return Truth(("convs.1.linear", "convs.2.linear", "convs.0.linear"))


_DEAD, _SATURATED = ("dead_units",), ("saturation", "poor_init")
_COPIES, _START = ("redundant_units", "poor_init"), ("poor_init",)

SCENARIOS = (
    Scenario("dead-bias-mlp", "mlp", TUNING, dead_by_bias, _DEAD),
    Scenario("dead-bad-batch-mlp", "mlp", TUNING, dead_after_a_bad_batch, _DEAD, beside=("loss_spike",)),
    Scenario("dead-channels-cnn", "cnn", TUNING, dead_channels, _DEAD),
    Scenario("dead-feed-forward-transformer", "transformer", TUNING, dead_feed_forward, _DEAD),
    Scenario("dead-nodes-gcn", "gnn", TUNING, dead_nodes, _DEAD),
    Scenario("dead-projection-gru", "rnn", TUNING, dead_projection, _DEAD),
    Scenario("saturated-tanh-mlp", "mlp", TUNING, saturated_tanh, _SATURATED),
    Scenario("saturated-raw-mlp", "mlp", TUNING, saturated_by_raw_inputs, ("saturation", "input_unnormalised")),
    Scenario("saturated-attention-transformer", "transformer", TUNING, saturated_attention, _SATURATED),
    Scenario("saturated-cnn", "cnn", TUNING, saturated_convolution, _SATURATED),
    Scenario("saturated-gate-gru", "rnn", TUNING, saturated_gates, _SATURATED),
    Scenario("copies-mlp", "mlp", TUNING, copies, _COPIES, least=Severity.INFO),
    Scenario("copies-cnn", "cnn", TUNING, copied_channels, _COPIES, least=Severity.INFO),
    Scenario("copies-transformer", "transformer", TUNING, copied_feed_forward, _COPIES, least=Severity.INFO),
    Scenario("copies-gcn", "gnn", TUNING, copied_nodes, _COPIES, least=Severity.INFO),
    Scenario("start-alike-mlp", "mlp", TUNING, all_weights_alike, ("poor_init", "redundant_units")),
    Scenario("start-loud-mlp", "mlp", TUNING, unit_variance, ("poor_init", "exploding_gradient")),
    Scenario("start-faint-cnn", "cnn", TUNING, faint_convolutions, ("poor_init", "vanishing_gradient")),
    Scenario("start-loud-head-transformer", "transformer", TUNING, loud_head, _START),
    Scenario("start-zeros-gcn", "gnn", TUNING, zeros_in_the_middle, ("poor_init", "vanishing_gradient", "dead_units")),
)
