"""Training loops of every kind: what is recorded is what the optimizer was given."""

import math

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, vmap
from torch.utils.checkpoint import checkpoint, checkpoint_sequential

from tb_netviz.pytorch import NetVizWriter, transfers
from tests.support.watching import ByHand, assert_equal, read

RATE = 0.1


def network():
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 2))


def sgd(model, **options):
    return torch.optim.SGD(model.parameters(), lr=RATE, **options)


def train(folder, model, loss_of, *, steps=4, optimizer=None, **options):
    """Train with plain SGD; check each column of each step by hand."""
    optimizer = sgd(model) if optimizer is None else optimizer
    by_hand = ByHand(model)
    with NetVizWriter(folder) as writer:
        writer.watch(model, optimizer, every=1, **options)
        for step in range(steps):
            loss_of(model).backward()
            assert writer.step == step
            by_hand.before()
            optimizer.step()
            by_hand.after(step)
            optimizer.zero_grad()
    return check(folder, by_hand, steps)


def check(folder, by_hand, steps, model=""):
    recording = read(folder, model)
    assert sorted(recording.tables) == list(range(steps))
    for step, table in recording.tables.items():
        assert_equal(table, by_hand.tables[step])
    return recording


@pytest.mark.parametrize("reentrant", [True, False])
def test_activation_checkpointing(tmp_path, reentrant):
    torch.manual_seed(1)

    class Checkpointed(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = nn.Linear(6, 6)
            self.body = network()
            self.drop = nn.Dropout(0.3)

        def forward(self, x):
            return self.drop(checkpoint(self.body, self.stem(x), use_reentrant=reentrant))

    recording = train(tmp_path, Checkpointed(), lambda m: m(torch.randn(8, 6)).square().mean())
    modules = [module.name for module in recording.description.modules]
    assert modules == ["Checkpointed", "stem", "body", *(f"body.{place}" for place in range(5)), "drop"]
    assert recording.description.modules[4].output_shape == (8, 8)


@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpointed_sequences(tmp_path, reentrant):
    torch.manual_seed(2)
    model = network()
    by_hand, optimizer = ByHand(model), sgd(model)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        for step in range(3):
            x = torch.randn(8, 6, requires_grad=True)
            checkpoint_sequential(model, 2, x, use_reentrant=reentrant).square().mean().backward()
            by_hand.before()
            optimizer.step()
            by_hand.after(step)
            optimizer.zero_grad()
    check(tmp_path, by_hand, 3)


def test_a_gradient_penalty(tmp_path):
    torch.manual_seed(3)

    def loss_of(model):
        x = torch.randn(8, 6, requires_grad=True)
        scores = model(x)
        (slope,) = torch.autograd.grad(scores.sum(), x, create_graph=True)
        return scores.mean() + 10 * (slope.norm(dim=1) - 1).square().mean()

    train(tmp_path, network(), loss_of)


def test_gradients_that_are_set_by_hand(tmp_path):
    torch.manual_seed(4)
    model = network()
    by_hand, optimizer = ByHand(model), sgd(model)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        for step in range(3):
            loss = model(torch.randn(8, 6)).square().mean()
            for parameter, gradient in zip(
                model.parameters(), torch.autograd.grad(loss, list(model.parameters())), strict=True
            ):
                parameter.grad = gradient * 2
            by_hand.before()
            optimizer.step()
            by_hand.after(step)
    check(tmp_path, by_hand, 3)


def test_steps_without_gradients_and_with_those_of_the_step_before(tmp_path):
    torch.manual_seed(5)
    model = network()
    by_hand, optimizer = ByHand(model), sgd(model)

    def step(number):
        by_hand.before()
        optimizer.step()
        by_hand.after(number)

    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        step(0)  # Before any backward pass.
        model(torch.randn(8, 6)).square().mean().backward()
        step(1)
        step(2)  # The same gradients again.
        optimizer.zero_grad(set_to_none=False)
        step(3)
        optimizer.zero_grad(set_to_none=True)
        step(4)
    recording = check(tmp_path, by_hand, 5)
    table = recording.tables
    assert [table[number]["0.weight"]["present"] for number in range(5)] == [0, 1, 1, 1, 0]
    assert table[2]["0.weight"]["grad_norm"] == table[1]["0.weight"]["grad_norm"] > 0
    assert table[3]["0.weight"]["grad_norm"] == 0
    assert table[3]["0.weight"]["grad_zeros"] == 48
    assert math.isnan(table[4]["0.weight"]["grad_norm"])


def test_gradients_that_nobody_resets(tmp_path):
    torch.manual_seed(6)
    model = network()
    by_hand, optimizer = ByHand(model), sgd(model)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        for step in range(3):
            model(torch.randn(8, 6)).square().mean().backward()
            by_hand.before()
            optimizer.step()
            by_hand.after(step)
    check(tmp_path, by_hand, 3)


def test_lbfgs_takes_the_gradient_of_its_last_evaluation(tmp_path):
    torch.manual_seed(7)
    model = network()
    optimizer = torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=4)
    by_hand = ByHand(model)
    x = torch.randn(16, 6)

    def closure():
        optimizer.zero_grad()
        loss = model(x).square().mean()
        loss.backward()
        return loss

    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        for step in range(4):
            by_hand.before()
            optimizer.step(closure)
            by_hand.after(step)
            assert writer.step == step
    recording = read(tmp_path)
    assert sorted(recording.tables) == [0, 1, 2, 3]
    # The gradient that is there after a step is what the next one finds before it.
    for step in range(3):
        found, later = recording.tables[step], by_hand.tables[step + 1]
        for name, columns in found.items():
            assert columns["grad_norm"] == pytest.approx(later[name]["grad_norm"], rel=1e-5)
            assert columns["update_norm"] == pytest.approx(by_hand.tables[step][name]["update_norm"], rel=1e-5)


def test_a_closure_under_accumulation(tmp_path):
    torch.manual_seed(8)
    model = network()
    optimizer = sgd(model)

    def closure():
        optimizer.zero_grad()
        for _ in range(4):
            (model(torch.randn(4, 6)).square().mean() / 4).backward()

    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        for _ in range(3):
            optimizer.step(closure)
    tables = read(tmp_path).tables
    assert len(tables) == 3
    for columns in (columns for table in tables.values() for columns in table.values()):
        assert columns["grad_norm"] == pytest.approx(columns["update_norm"] / RATE, rel=1e-3)


@pytest.mark.parametrize("given", [True, False])
def test_a_gan(tmp_path, given):
    torch.manual_seed(9)
    generator, critic = network(), nn.Sequential(nn.Linear(2, 8), nn.LeakyReLU(), nn.Linear(8, 1))
    first, second = sgd(generator), sgd(critic)
    hands = {"generator": ByHand(generator), "critic": ByHand(critic)}
    with NetVizWriter(tmp_path) as writer:
        writer.watch(generator, first if given else None, name="generator", every=1)
        writer.watch(critic, second if given else None, name="critic", every=1)
        for step in range(4):
            fake = generator(torch.randn(8, 6))
            second.zero_grad()
            (critic(fake.detach()).mean() - critic(torch.randn(8, 2)).mean()).backward()
            hands["critic"].before()
            second.step()
            hands["critic"].after(step)
            first.zero_grad()
            (-critic(fake).mean()).backward()  # Leaves gradients in the critic, too.
            hands["generator"].before()
            first.step()
            hands["generator"].after(step)
    for name, by_hand in hands.items():
        recording = check(tmp_path, by_hand, 4, name)
        assert all(columns["present"] == 1 for columns in recording.tables[3].values())


def test_two_optimizers_of_which_one_steps_more_rarely(tmp_path):
    torch.manual_seed(10)
    model = network()
    often, rarely = sgd(model[0]), sgd(model[4])
    by_hand = ByHand(model)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, [often, rarely], every=1)
        for step in range(6):
            model(torch.randn(8, 6)).square().mean().backward()
            by_hand.before()
            often.step()
            if step % 3 == 2:
                rarely.step()
            by_hand.after(step)
            model.zero_grad()
    recording = read(tmp_path)
    assert sorted(recording.tables) == list(range(6))
    for step, table in recording.tables.items():
        for row in ("0.weight", "0.bias"):
            assert_equal({row: table[row]}, {row: by_hand.tables[step][row]})
        columns = table["4.weight"]
        if step % 3 == 2:
            assert columns["update_norm"] == pytest.approx(RATE * columns["grad_norm"], rel=1e-3)
        else:  # Nobody said what became of it.
            assert math.isnan(columns["update_norm"])


def test_functional_calls_and_transforms(tmp_path):
    torch.manual_seed(11)
    model = network()
    by_hand, optimizer = ByHand(model), sgd(model)
    parameters = {name: parameter.detach() for name, parameter in model.named_parameters()}

    def loss_of(weights, x):
        return functional_call(model, weights, (x[None],)).square().mean()

    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        for step in range(3):
            batch = torch.randn(8, 6)
            each = vmap(grad(loss_of), (None, 0))(parameters, batch)
            torch.func.jacrev(loss_of)(parameters, batch[0])
            model(batch).square().mean().backward()
            for name, parameter in model.named_parameters():
                torch.testing.assert_close(each[name].mean(0), parameter.grad)
            by_hand.before()
            optimizer.step()
            by_hand.after(step)
            optimizer.zero_grad()
            parameters = {name: parameter.detach() for name, parameter in model.named_parameters()}
    check(tmp_path, by_hand, 3)


def test_gradients_per_sample_that_are_set_from_a_transform(tmp_path):
    """The forward pass is seen inside vmap only, where a tensor has no value to look at."""
    torch.manual_seed(12)
    model = network()
    by_hand, optimizer = ByHand(model), sgd(model)

    def loss_of(weights, x):
        return functional_call(model, weights, (x[None],)).square().mean()

    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, nn.MSELoss(), every=1)
        for step in range(3):
            weights = {name: parameter.detach() for name, parameter in model.named_parameters()}
            each = vmap(grad(loss_of), (None, 0))(weights, torch.randn(8, 6))
            for name, parameter in model.named_parameters():
                norms = each[name].flatten(1).norm(dim=1).clamp(min=1.0)
                parameter.grad = (each[name] / norms.view(-1, *[1] * parameter.ndim)).mean(0)
            assert writer.step == step
            by_hand.before()
            optimizer.step()
            by_hand.after(step)
    check(tmp_path, by_hand, 3)


def test_a_criterion_inside_vmap(tmp_path):
    torch.manual_seed(13)
    model, criterion = nn.Linear(6, 2), nn.MSELoss()
    optimizer = sgd(model)
    weights = {name: parameter.detach() for name, parameter in model.named_parameters()}

    def loss_of(weights, x):
        return criterion(functional_call(model, weights, (x,)), torch.zeros(2))

    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, criterion, every=1)
        for _ in range(3):
            each = vmap(grad(loss_of), (None, 0))(weights, torch.randn(8, 6))
            for name, parameter in model.named_parameters():
                parameter.grad = each[name].mean(0)
            optimizer.step()
    assert sorted(read(tmp_path).tables) == [0, 1, 2]


@pytest.mark.parametrize("watch_the_wrapper", [True, False])
def test_data_parallel_without_devices(tmp_path, watch_the_wrapper):
    torch.manual_seed(14)
    model = network()
    wrapper = nn.DataParallel(model)
    by_hand, optimizer = ByHand(model), sgd(model)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(wrapper if watch_the_wrapper else model, optimizer, every=1)
        for step in range(3):
            wrapper(torch.randn(8, 6)).square().mean().backward()
            assert writer.step == step
            by_hand.before()
            optimizer.step()
            by_hand.after(step)
            optimizer.zero_grad()
    recording = check(tmp_path, by_hand, 3)
    assert recording.description.modules[0].name == "Sequential"


def test_an_optimizer_per_parameter_in_the_backward_pass(tmp_path):
    torch.manual_seed(15)
    model = network()
    gradients: dict[str, list[float]] = {}
    updates: dict[str, list[float]] = {}
    for name, parameter in model.named_parameters():
        optimizer = torch.optim.SGD([parameter], lr=RATE)

        def step(tensor, name=name, optimizer=optimizer):
            before = tensor.detach().double()
            gradients.setdefault(name, []).append(tensor.grad.double().norm().item())
            optimizer.step()
            updates.setdefault(name, []).append((tensor.detach().double() - before).norm().item())
            optimizer.zero_grad()

        parameter.register_post_accumulate_grad_hook(step)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, every=1)
        for number in range(4):
            model(torch.randn(8, 6)).square().mean().backward()
            assert writer.step == number
    tables = read(tmp_path).tables
    assert sorted(tables) == [0, 1, 2, 3]
    for name, norms in gradients.items():
        assert [tables[step][name]["grad_norm"] for step in range(4)] == pytest.approx(norms, rel=1e-5)
        assert [tables[step][name]["update_norm"] for step in range(4)] == pytest.approx(updates[name], rel=1e-4)


def test_modules_that_run_twice_and_in_place_activations(tmp_path):
    torch.manual_seed(16)

    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(6, 6)
            self.act = nn.ReLU(inplace=True)

        def forward(self, x):
            return self.act(self.layer(self.act(self.layer(x))))

    recording = train(tmp_path, Shared(), lambda m: m(torch.randn(8, 6)).square().mean())
    assert [module.name for module in recording.description.modules] == ["Shared", "layer", "act"]


def test_two_backward_passes_over_one_graph(tmp_path):
    torch.manual_seed(17)

    def loss_of(model):
        loss = model(torch.randn(8, 6)).square().mean()
        loss.backward(retain_graph=True)
        return loss

    train(tmp_path, network(), loss_of)


def test_a_step_that_the_user_breaks_off(tmp_path):
    """An exception in the optimizer's step is the user's to handle; what follows is recorded."""
    torch.manual_seed(18)
    model = network()
    optimizer = sgd(model)
    fails = [False]

    def closure():
        if fails[0]:
            raise ArithmeticError("theirs")
        optimizer.zero_grad()
        loss = model(torch.randn(8, 6)).square().mean()
        loss.backward()
        return loss

    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        for number in range(5):
            fails[0] = number == 2
            if fails[0]:
                with pytest.raises(ArithmeticError, match="theirs"):
                    optimizer.step(closure)
            else:
                optimizer.step(closure)
    tables = read(tmp_path).tables
    assert len(tables) == 4
    for columns in (columns for table in tables.values() for columns in table.values()):
        assert columns["grad_norm"] == pytest.approx(columns["update_norm"] / RATE, rel=1e-3)


def test_training_in_inference_mode_and_without_gradients_beside(tmp_path):
    torch.manual_seed(19)

    def loss_of(model):
        with torch.inference_mode():
            model(torch.randn(3, 6))
        with torch.no_grad():
            model(torch.randn(3, 6))
        return model(torch.randn(8, 6)).square().mean()

    train(tmp_path, network(), loss_of)


def test_a_parameter_that_two_optimizers_step_has_moved_since_the_first_of_them(tmp_path):
    model = nn.Linear(4, 3)
    first, second = (torch.optim.SGD(model.parameters(), lr=0.5) for _ in range(2))
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, [first, second], every=1, histograms=False)
        model(torch.randn(8, 4)).square().mean().backward()
        before = model.weight.detach().clone()
        first.step()
        second.step()
        moved = (model.weight.detach() - before).double().norm().item()
    assert read(tmp_path).tables[0]["weight"]["update_norm"] == pytest.approx(moved, rel=1e-5)


def test_a_layer_that_is_replaced_by_its_like_tells_no_angle_with_the_old_one(tmp_path):
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, every=1, histograms=False)
        for step in range(3):
            if step == 2:
                model[0] = nn.Linear(4, 4)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            model(torch.randn(8, 4)).square().mean().backward()
            optimizer.step()
            model.zero_grad()
    tables = read(tmp_path).tables
    assert not math.isnan(tables[1]["0.weight"]["grad_dot_last"])
    assert math.isnan(tables[2]["0.weight"]["grad_dot_last"])


def test_a_parameter_whose_memory_was_taken_away_is_left_alone(tmp_path):
    frozen = nn.Linear(4, 4).requires_grad_(requires_grad=False)
    model = nn.Sequential(frozen, nn.Linear(4, 2))
    optimizer = torch.optim.SGD(model[1].parameters(), lr=0.1)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        for step in range(3):
            if step == 1:
                frozen.weight.untyped_storage().resize_(0)
            model[1](torch.randn(8, 4)).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()
    tables = read(tmp_path).tables
    assert math.isnan(tables[2]["0.weight"]["weight_norm"])
    assert tables[2]["1.weight"]["grad_norm"] > 0


class Opaque(torch.Tensor):
    """A tensor that nothing can be done with, as those of some quantized kinds."""

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        if function.__name__ in ("view", "dot", "reshape", "as_strided", "abs"):
            raise NotImplementedError(function.__name__)
        return super().__torch_function__(function, types, args, kwargs or {})


def test_a_parameter_of_a_class_that_can_not_be_read_is_left_out_and_the_rest_recorded(tmp_path):
    hidden = nn.Linear(4, 4)
    hidden.weight = nn.Parameter(torch.randn(4, 4).as_subclass(Opaque), requires_grad=False)
    model = nn.Sequential(hidden, nn.Linear(4, 2))
    optimizer = torch.optim.SGD(model[1].parameters(), lr=0.1)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        for _ in range(3):
            model[1](torch.randn(8, 4)).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()
    recording = read(tmp_path)
    assert recording.tables[2]["1.weight"]["weight_norm"] > 0
    assert "0.weight" in {omission.subject for omission in recording.description.omissions}


def test_values_that_arrive_late_are_recorded_all_the_same(tmp_path, monkeypatch):
    """As from a device that is ten steps behind."""
    clock = 0
    sent = transfers.Transfer.__init__

    def send(self, tensor):
        sent(self, tensor)
        self.due = clock + 10

    monkeypatch.setattr(transfers.Transfer, "__init__", send)
    monkeypatch.setattr(transfers.Transfer, "ready", property(lambda self: clock >= self.due))
    model = nn.Linear(4, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    by_hand = ByHand(model)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1, updates=False)
        for clock in range(60):
            model(torch.randn(8, 4)).square().mean().backward()
            by_hand.before()
            optimizer.step()
            by_hand.after(clock)
            optimizer.zero_grad()
    tables = read(tmp_path).tables
    assert len(tables) >= 60 * 4 // 12
    for step, table in tables.items():
        assert table["weight"]["grad_norm"] == pytest.approx(by_hand.tables[step]["weight"]["grad_norm"], rel=1e-5)
