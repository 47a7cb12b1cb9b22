"""The norm before clipping and the share of clipped steps, against copies of the gradients and float64."""

import copy
import gc
import io
import math
import weakref

import pytest
import torch
from torch import nn
from torch._dynamo.utils import counters

from tb_netviz.pytorch import NetVizWriter
from tb_netviz.pytorch import clipping as module
from tests.support.watching import read

BEFORE, CLIPPED = "netviz/gradient_norm_before_clipping", "netviz/clipped"
MAX_NORM, MAX_VALUE = 0.5, 0.33
SIZES = (0.1, 2.0, 0.3, 0.5)


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 2))


def by_norm(model):
    nn.utils.clip_grad_norm_(model.parameters(), MAX_NORM)


def by_value(model):
    nn.utils.clip_grad_value_(model.parameters(), MAX_VALUE)


def by_both(model):
    by_value(model)
    by_norm(model)


def by_hand(model):
    if whole(model) > MAX_NORM:
        for parameter in model.parameters():
            parameter.grad.mul_(0.25)


def unseen(model):
    for parameter in model.parameters():
        parameter.grad.data.clamp_(-MAX_VALUE, MAX_VALUE)


def replaced(model):
    for parameter in model.parameters():
        parameter.grad = parameter.grad.clamp(-MAX_VALUE, MAX_VALUE)


def nothing(model):
    pass


def gradients(model):
    return torch.cat([parameter.grad.double().flatten() for parameter in model.parameters()])


def whole(model):
    return float(gradients(model).norm())


def backward(model, step, parts=1, scale=lambda loss: loss):
    """Larger inputs at some steps than at others, so that only some are clipped."""
    for _ in range(parts):
        loss = model(torch.randn(16, 6) * SIZES[step % 4]).square().mean() / parts
        scale(loss).backward()


def train(folder, modify, *, steps=24, parts=1, every=1, model=None, optimizer_of=None, **options):
    """Train, watched, and return the norms before and whether the gradient was made smaller, step by step."""
    model = model or network()
    optimizer = (optimizer_of or (lambda p: torch.optim.SGD(p, lr=0.01)))(model.parameters())
    expected = []
    with NetVizWriter(folder) as writer:
        writer.watch(model, optimizer, every=every, **options)
        for step in range(steps):
            backward(model, step, parts)
            before, norm = gradients(model), whole(model)
            modify(model)
            expected.append((norm, bool((gradients(model).abs() < before.abs() - 1e-12).any())))
            optimizer.step()
            optimizer.zero_grad()
    return expected


def found(folder, model=""):
    """Return what was recorded by step: (norm before, clipped)."""
    metrics = read(folder).metrics
    prefix = f"netviz/{model}/" if model else "netviz/"
    names = [prefix + name.removeprefix("netviz/") for name in (BEFORE, CLIPPED)]
    norms, clipped = ([(step, value) for _, step, value in metrics.get(name, [])] for name in names)
    assert [role for name in names for role, _, _ in metrics.get(name, [])] == ["gradient_norm_before"] * len(norms) + [
        "clipped"
    ] * len(clipped)
    assert [step for step, _ in norms] == [step for step, _ in clipped]
    return {step: (norm, bool(was)) for (step, norm), (_, was) in zip(norms, clipped, strict=True)}


def assert_as_expected(records, expected, steps=None):
    assert list(records) == list(range(len(expected)) if steps is None else steps)
    for step, (norm, clipped) in records.items():
        assert norm == pytest.approx(expected[step][0], rel=1e-5)
        assert clipped == expected[step][1]


@pytest.mark.parametrize("modify", [by_norm, by_value, by_both, by_hand, unseen, replaced])
def test_the_norm_before_and_the_clipped_steps(tmp_path, modify):
    expected = train(tmp_path, modify)
    assert 0 < sum(clipped for _, clipped in expected) < len(expected)
    records = found(tmp_path)
    begins = next(iter(records))  # From the first step at which anything is seen to change gradients.
    assert begins <= next(step for step, (_, clipped) in enumerate(expected) if clipped)
    assert_as_expected(records, expected, range(begins, len(expected)))
    recording = read(tmp_path)
    assert [step for step, _ in recording.scalars[BEFORE]] == list(records)
    assert [bool(value) for _, value in recording.scalars[CLIPPED]] == [clipped for _, clipped in records.values()]


@pytest.mark.parametrize("modify", [by_norm, by_value])
def test_with_accumulation_the_whole_gradient_counts(tmp_path, modify):
    expected = train(tmp_path, modify, parts=3)
    assert_as_expected(found(tmp_path), expected)


def test_a_number_of_parts_that_changes(tmp_path):
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    norms = {}
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        for step in range(40):
            backward(model, step, parts=1 if step >= 20 else 3)
            norms[step] = whole(model)
            by_norm(model)
            optimizer.step()
            optimizer.zero_grad()
    records = found(tmp_path)
    assert len(records) >= 36
    for step, (norm, _) in records.items():
        assert norm == pytest.approx(norms[step], rel=1e-5)


@pytest.mark.parametrize("optimizer_of", [None, lambda p: torch.optim.Adam(p, foreach=True)])
def test_where_nothing_clips_nothing_is_written_and_nothing_measured(tmp_path, monkeypatch, optimizer_of):
    measured = []
    measure = module._measure

    def counted(*parts):
        measured.append(1)
        measure(*parts)

    monkeypatch.setattr(module, "_measure", counted)
    train(tmp_path, nothing, steps=40, optimizer_of=optimizer_of)
    recording = read(tmp_path)
    assert not {BEFORE, CLIPPED} & (recording.metrics.keys() | recording.scalars.keys())
    assert len(measured) == module.ALWAYS_MEASURED + 4  # One is compared as the next is measured; then at 8, 16, 32.


def test_clipping_that_begins_later_is_noticed_from_the_step_after(tmp_path):
    model = network()

    def late(model, calls=[0]):  # noqa: B006  Counts.
        calls[0] += 1
        if calls[0] > 20:
            by_norm(model)

    expected = train(tmp_path, late, steps=30, model=model)
    assert_as_expected(found(tmp_path), expected, range(21, 30))


def test_only_observed_steps_are_listened_to(tmp_path):
    model = network()
    hooks = []

    def watching(model):
        hooks.append(sum(len(parameter._post_accumulate_grad_hooks or ()) for parameter in model.parameters()))
        by_norm(model)

    expected = train(tmp_path, watching, model=model, every=4)
    assert_as_expected(found(tmp_path), expected, range(0, 24, 4))
    assert hooks == [4 if step % 4 == 0 else 0 for step in range(24)]
    assert [parameter._post_accumulate_grad_hooks for parameter in model.parameters()] == [None] * 4


def test_the_users_own_hooks_stay(tmp_path):
    model = network()
    calls = []
    model[0].weight.register_post_accumulate_grad_hook(lambda parameter: calls.append(parameter.grad.clone()))
    expected = train(tmp_path, by_norm, model=model, steps=6)
    assert_as_expected(found(tmp_path), expected)
    backward(model, 0)
    assert len(calls) == 7


def test_ones_own_numbers_of_steps(tmp_path):
    numbers = iter(range(100, 1000, 10))
    expected = train(tmp_path, by_norm, step=lambda: next(numbers))
    records = found(tmp_path)
    assert len(records) >= 20
    for step, (norm, clipped) in records.items():
        assert (pytest.approx(norm, rel=1e-5), clipped) == expected[(step - 100) // 10]


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("init_scale", [1024.0, 1000.0])
@pytest.mark.parametrize("modify", [by_norm, by_value, nothing])
def test_a_loss_scale_is_no_clipping(tmp_path, modify, init_scale, fused):
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, fused=fused)
    scaler = torch.amp.GradScaler("cpu", init_scale=init_scale, growth_interval=5)
    expected = []
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        for step in range(24):
            backward(model, step, scale=scaler.scale)
            norm = whole(model) / scaler.get_scale()
            if modify is not nothing:
                scaler.unscale_(optimizer)
                before = gradients(model)
                modify(model)
                expected.append((norm, bool((gradients(model).abs() < before.abs() - 1e-12).any())))
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()
    if modify is nothing:
        assert found(tmp_path) == {}
    else:
        assert 0 < sum(clipped for _, clipped in expected) < len(expected)
        assert_as_expected(found(tmp_path), expected)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_precisions(tmp_path, dtype):
    model = network().to(dtype)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    expected = []
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        for step in range(24):
            model(torch.randn(16, 6, dtype=dtype) * SIZES[step % 4]).square().mean().backward()
            norm = whole(model)
            expected.append((norm, norm > MAX_NORM))
            by_norm(model)
            optimizer.step()
            optimizer.zero_grad()
    assert 0 < sum(clipped for _, clipped in expected) < len(expected)
    assert_as_expected(found(tmp_path), expected)


def test_two_optimizers_each_with_its_own_backward_pass(tmp_path):
    model = network()
    optimizers = [torch.optim.SGD(model[0].parameters(), lr=0.01), torch.optim.SGD(model[2].parameters(), lr=0.01)]
    expected = []
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizers, every=2)
        for _ in range(12):
            squares = 0.0
            outputs = model(torch.randn(16, 6))
            for part, optimizer in zip((model[0], model[2]), optimizers, strict=True):
                optimizer.zero_grad()
                outputs.square().mean().backward(inputs=list(part.parameters()), retain_graph=True)
                squares += whole(part) ** 2
                nn.utils.clip_grad_norm_(part.parameters(), 0.01)
                optimizer.step()
            expected.append(math.sqrt(squares))
    records = found(tmp_path)
    assert list(records) == list(range(0, 12, 2))
    for step, (norm, _) in records.items():
        assert norm == pytest.approx(expected[step], rel=1e-5)


def test_the_two_models_of_a_gan_are_apart(tmp_path):
    generator, critic = network(), nn.Sequential(nn.Linear(2, 1))
    first, second = (torch.optim.SGD(m.parameters(), lr=0.01) for m in (generator, critic))
    norms: dict[str, list[float]] = {"generator": [], "critic": []}
    with NetVizWriter(tmp_path) as writer:
        writer.watch(generator, first, name="generator", every=1)
        writer.watch(critic, second, name="critic", every=1)
        for _ in range(12):
            fake = generator(torch.randn(16, 6))
            critic(fake.detach()).square().mean().backward()
            norms["critic"].append(whole(critic))
            second.step()
            second.zero_grad()
            (critic(fake) - 1).square().mean().backward()
            norms["generator"].append(whole(generator))
            nn.utils.clip_grad_norm_(generator.parameters(), 0.01)
            first.step()
            first.zero_grad()
            second.zero_grad()
    records = found(tmp_path, "generator")
    assert [norm for norm, _ in records.values()] == pytest.approx(norms["generator"], rel=1e-5)
    assert all(clipped for _, clipped in records.values())
    assert found(tmp_path, "critic") == {}


def test_a_closure_that_clips(tmp_path):
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    norms: list[float] = []

    def closure():
        optimizer.zero_grad()
        backward(model, len(norms))
        norms.append(whole(model))
        by_norm(model)

    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        for _ in range(12):
            optimizer.step(closure)
    records = found(tmp_path)
    assert [norm for norm, _ in records.values()] == pytest.approx(norms, rel=1e-5)
    assert [clipped for _, clipped in records.values()] == [norm > MAX_NORM for norm in norms]


def test_gradients_that_are_not_finite_are_no_clipping(tmp_path):
    def poisoned(model, calls=[0]):  # noqa: B006  Counts.
        calls[0] += 1
        if calls[0] == 3:
            model[0].weight.grad[0, 0] = math.nan
        by_norm(model)

    expected = train(tmp_path, poisoned, steps=3)
    assert_as_expected(found(tmp_path), expected, range(2))


def test_parameters_that_come_later_and_those_of_no_optimizer(tmp_path):
    model = network()
    model[0].bias.requires_grad_(False)
    optimizer = torch.optim.SGD(model[:1].parameters(), lr=0.01)  # The last layer is nobody's.
    norms = []
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        for step in range(10):
            if step == 4:
                model[0].bias.requires_grad_(True)
            if step == 7:
                model.append(nn.Linear(2, 2))
                optimizer.add_param_group({"params": model[3].parameters()})
            model.zero_grad()
            backward(model, step)
            held = [parameter for parameter in model.parameters() if parameter.grad is not None]
            norms.append(math.hypot(*(float(parameter.grad.double().norm()) for parameter in held)))
            nn.utils.clip_grad_norm_(held, MAX_NORM)
            optimizer.step()
    records = found(tmp_path)
    assert {0, 1, 2, 3, 5, 6, 8, 9} <= set(records)
    for step, (norm, _) in records.items():
        assert norm == pytest.approx(norms[step], rel=1e-5)


def test_sparse_gradients(tmp_path):
    model = nn.EmbeddingBag(20, 4, sparse=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    norms = []
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        for _ in range(4):
            model(torch.randint(0, 20, (5, 3))).square().sum().backward()
            gradient = model.weight.grad
            assert gradient is not None
            norms.append(float(gradient.to_dense().double().norm()))
            model.weight.grad = gradient.coalesce() * 0.5
            optimizer.step()
            optimizer.zero_grad()
    records = found(tmp_path)
    assert [norm for norm, _ in records.values()] == pytest.approx(norms, rel=1e-5)
    assert all(clipped for _, clipped in records.values())


def test_a_step_within_the_backward_pass_says_nothing(tmp_path):
    model = network()
    optimizers = {p: torch.optim.SGD([p], lr=0.01) for p in model.parameters()}

    def step_at_once(parameter):
        parameter.grad.clamp_(-MAX_VALUE, MAX_VALUE)
        optimizers[parameter].step()
        optimizers[parameter].zero_grad()

    for parameter in model.parameters():
        parameter.register_post_accumulate_grad_hook(step_at_once)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, every=1)
        for step in range(6):
            backward(model, step)
    recording = read(tmp_path)
    assert sorted(recording.tables) == list(range(6))
    assert BEFORE not in recording.metrics


@pytest.mark.parametrize("fullgraph", [False, True])
def test_compiled_models_break_no_graph_and_compile_once(tmp_path, fullgraph):
    def graphs(folder=None):
        torch._dynamo.reset()
        counters.clear()
        model = network()
        compiled = torch.compile(model, backend="aot_eager", fullgraph=fullgraph)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
        writer = NetVizWriter(folder) if folder else None
        if writer:
            writer.watch(model, optimizer, every=3)
        for step in range(12):
            backward(compiled, step)
            by_norm(model)
            optimizer.step()
            optimizer.zero_grad()
        if writer:
            writer.close()
        return counters["stats"]["unique_graphs"], dict(counters["graph_break"]), dict(counters["recompiles"])

    assert graphs(tmp_path) == graphs()
    assert list(found(tmp_path)) == [0, 3, 6, 9]


def test_a_watched_run_that_clips_is_bit_for_bit_the_bare_one(tmp_path):
    def run(folder=None):
        torch.manual_seed(1)
        model = network()
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        writer = NetVizWriter(folder) if folder else None
        if writer:
            writer.watch(model, optimizer, every=2)
        for step in range(20):
            backward(model, step, parts=2)
            by_both(model)
            optimizer.step()
            optimizer.zero_grad(set_to_none=step % 2 == 0)
        if writer:
            writer.close()
        return [*model.state_dict().values(), torch.rand(3)]

    assert all(torch.equal(one, two) for one, two in zip(run(), run(tmp_path), strict=True))


def test_copies_and_pickles_of_a_watched_model_carry_no_hook(tmp_path):
    model = network()
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, torch.optim.SGD(model.parameters(), lr=0.01), every=1)
        twin = copy.deepcopy(model)
        stream = io.BytesIO()
        torch.save(model, stream)
        stream.seek(0)
        loaded = torch.load(stream, weights_only=False)
        for other in (twin, loaded):
            assert not any(parameter._post_accumulate_grad_hooks for parameter in other.parameters())
            backward(other, 0)
        assert all(len(parameter._post_accumulate_grad_hooks) == 1 for parameter in model.parameters())


def test_a_backward_pass_that_breaks_off_does_not_deafen(tmp_path):
    class Fails(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, gradient):
            raise RuntimeError("theirs")

    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    norms = []
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        for step in range(6):
            if step == 2:
                broken = model[2](torch.tanh(model[0](Fails.apply(torch.randn(4, 6, requires_grad=True)))))
                with pytest.raises(RuntimeError, match="theirs"):
                    broken.sum().backward()
                optimizer.zero_grad()
            backward(model, step)
            norms.append(whole(model))
            by_norm(model)
            optimizer.step()
            optimizer.zero_grad()
    records = found(tmp_path)
    assert {0, 1, 3, 4, 5} <= set(records)
    for step, (norm, _) in records.items():
        assert norm == pytest.approx(norms[step], rel=1e-5)


def test_nothing_holds_the_model(tmp_path):
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        for step in range(3):
            backward(model, step)
            by_norm(model)
            optimizer.step()
            optimizer.zero_grad()
        references = [weakref.ref(model), weakref.ref(model[0].weight)]
        del model, optimizer
        gc.collect()
        assert [reference() for reference in references] == [None, None]


def test_an_error_of_ours_costs_only_this(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_mark_of", lambda *_: 1 / 0)
    with pytest.warns(UserWarning, match="gradients before clipping"):
        train(tmp_path, by_norm, steps=6)
    recording = read(tmp_path)
    assert sorted(recording.tables) == list(range(6))
    assert BEFORE not in recording.metrics
