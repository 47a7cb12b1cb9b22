"""A run is checked while it trains, and what is wrong is told once, in the way that was asked for."""

import sys
import threading
import time

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from torch import nn
from torch.utils.tensorboard import SummaryWriter

from tb_netviz.events import NetVizWarning
from tb_netviz.live import lookout
from tb_netviz.live.archive import Archive
from tb_netviz.pytorch import FindingError, NetVizWriter, attach, watch
from tb_netviz_plugin.diagnosis import check

LAYER = "20 of 24 features of 0 · ReLU"


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    """Look every few milliseconds: these runs are short."""
    monkeypatch.setattr(lookout, "SHORTEST_WAIT", 0.01)
    monkeypatch.setattr(attach, "FOR_CHECKS", 20.0)


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 24), nn.ReLU(), nn.Linear(24, 2))


def train(folder, on_finding, model=None, steps=120, ill=True, log=True):
    """Train; 20 units die at step 40. Return the number of steps that were made."""
    model = model or network()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    noise = torch.Generator().manual_seed(0)
    made = 0
    try:
        with NetVizWriter(folder) as writer:
            writer.watch(model, optimizer, every=1, histograms=False, on_finding=on_finding)
            for made in range(steps):
                if ill and made == 40:
                    with torch.no_grad():
                        model[0].bias[:20] = -1e3
                loss = model(torch.randn(64, 8, generator=noise)).square().mean()
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
                if log:
                    writer.add_scalar("loss/train", loss)
                if on_finding != "ignore":
                    time.sleep(0.005)  # For somebody to look.
    except FindingError as error:
        return made, error.finding
    return made, None


@pytest.mark.parametrize(("budget", "often"), [(1.0, True), (1e-9, False)])
def test_looking_comes_out_of_the_budget(tmp_path, monkeypatch, budget, often):
    looks = []

    def look(run):
        looks.append(run)
        return check(run)

    monkeypatch.setattr(lookout, "check", look)
    torch.manual_seed(0)
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1, budget=budget, histograms=False)
        for _ in range(80):
            model(torch.randn(64, 8)).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()
            time.sleep(0.005)
    first_and_last = 2
    assert (len(looks) > first_and_last) == often


def test_a_line_is_printed_once(tmp_path, capfd):
    assert train(tmp_path, "warn") == (119, None)
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("netviz: ")]
    assert len(lines) == 1
    assert LAYER in lines[0]
    assert lines[0].endswith("[warning: dead_units]")


def test_nothing_is_said_of_a_healthy_run(tmp_path, capfd):
    train(tmp_path, "warn", ill=False)
    assert "netviz" not in capfd.readouterr().err


def test_a_finding_can_end_the_training(tmp_path):
    made, finding = train(tmp_path, "raise")
    assert 40 < made < 119
    assert (finding.rule, finding.severity, finding.layers) == ("dead_units", "warning", ("0",))
    assert abs(finding.first_step - 40) <= 2
    assert finding.remedies


def test_without_a_call_in_the_loop_it_is_raised_at_the_end(tmp_path):
    made, finding = train(tmp_path, "raise", log=False)
    assert (made, finding.rule) == (119, "dead_units")


def test_an_error_of_the_training_is_not_hidden(tmp_path):
    def fail_in_the_end():
        model = network()
        with torch.no_grad():
            model[0].bias[:20] = -1e3
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
        with NetVizWriter(tmp_path) as writer:
            writer.watch(model, optimizer, every=1, on_finding="raise")
            for _ in range(60):
                model(torch.randn(64, 8)).square().mean().backward()
                optimizer.step()
            time.sleep(0.5)  # It is found in the meantime.
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        fail_in_the_end()


def test_the_debugger_has_the_model_at_hand(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(sys, "breakpointhook", lambda: seen.append(dict(sys._getframe(1).f_locals)))
    model = network()
    train(tmp_path, "breakpoint", model)
    (place,) = seen
    assert place["model"] is model
    assert place["finding"].rule == "dead_units"


def test_a_callable_is_called_once_in_the_thread_of_the_training(tmp_path):
    import threading

    calls = []
    train(tmp_path, lambda finding: calls.append((finding.rule, threading.current_thread())))
    assert calls == [("dead_units", threading.main_thread())]


def test_a_callable_may_raise(tmp_path):
    def stop(finding):
        raise StopIteration(finding.rule)

    with pytest.raises(StopIteration, match="dead_units"):
        train(tmp_path, stop)


def test_nothing_is_done_where_that_is_wanted(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(lookout, "check", lambda _run: pytest.fail("looked"))
    train(tmp_path, "ignore")
    assert "netviz" not in capfd.readouterr().err


@pytest.mark.parametrize(("action", "error"), [("shout", ValueError), (None, TypeError), (3, TypeError)])
def test_what_can_not_be_done_is_refused(tmp_path, action, error):
    with NetVizWriter(tmp_path) as writer, pytest.raises(error, match=r"on_finding must be 'warn'.*got"):
        writer.watch(network(), on_finding=action)


def test_it_stands_in_the_text_dashboard(tmp_path):
    train(tmp_path, "warn")
    (file,) = tmp_path.glob("events*")
    texts = [
        value
        for event in EventFileLoader(str(file)).Load()
        for value in event.summary.value
        if value.metadata.plugin_data.plugin_name == "text"
    ]
    assert [value.tag for value in texts] == ["netviz/dead_units/text_summary"]
    assert LAYER in texts[0].tensor.string_val[0].decode()


def test_a_failing_rule_costs_the_checks_and_no_more(tmp_path, monkeypatch):
    def fail(_run):
        raise RuntimeError("out of luck")

    bare, watched = network(), network()
    train(tmp_path / "good", "ignore", bare)
    monkeypatch.setattr(lookout, "check", fail)
    with pytest.warns(NetVizWarning, match="no longer checked while it trains.*out of luck") as caught:
        train(tmp_path / "bad", "warn", watched)
    assert len(caught) == 1
    assert all(torch.equal(one, two) for one, two in zip(bare.parameters(), watched.parameters(), strict=True))


def test_a_last_look_that_outlasts_the_file_is_told_all_the_same(tmp_path, monkeypatch, capfd):
    closed = threading.Event()

    def late(run):
        closed.wait(60)
        return check(run)

    monkeypatch.setattr(lookout, "SHORTEST_WAIT", 60.0)
    monkeypatch.setattr(lookout, "check", late)
    torch.manual_seed(0)
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    with torch.no_grad():
        model[0].bias[:20] = -1e3
    writer = SummaryWriter(tmp_path)
    with watch(model, optimizer, writer=writer, every=1, histograms=False):
        for _ in range(80):
            model(torch.randn(64, 8)).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()
    held = writer.file_writer, writer.all_writers
    writer.close()
    writer.file_writer, writer.all_writers = held  # As somebody has them who asked for them just before.
    closed.set()
    for thread in threading.enumerate():
        if thread.name == "netviz lookout":
            thread.join(60)
    told = capfd.readouterr().err
    assert LAYER in told
    assert "no longer checked" not in told


def test_random_numbers_are_the_users_own(tmp_path):
    states = []
    for action in ("ignore", "warn"):
        torch.manual_seed(3)
        train(tmp_path / action, action)
        states.append(torch.get_rng_state())
    assert torch.equal(*states)


def test_what_is_kept_is_bounded(tmp_path):
    train(tmp_path, "ignore", steps=400)
    (file,) = tmp_path.glob("events*")
    events = list(EventFileLoader(str(file)).Load())
    whole, small = Archive(), Archive(most_bytes=200_000)
    for event in events:
        whole.take(event)
        small.take(event)
    assert whole.nbytes > 400_000
    assert small.nbytes <= 200_000
    assert small.run().grid.steps[-1] == whole.run().grid.steps[-1] == 399


def test_what_is_thinned_out_leaves_no_holes(tmp_path):
    train(tmp_path, "ignore", steps=400)
    (file,) = tmp_path.glob("events*")
    small = Archive(most_bytes=200_000)
    for event in EventFileLoader(str(file)).Load():
        small.take(event)
    run = small.run()
    assert np.isfinite(run.grid.column("grad_norm")).all()
    assert np.isfinite(run.activation_grid.column("act_norm")).all()
    assert np.isfinite(run.unit_table.units.column("mean")).all()
    assert len(run.grid.steps) < 400


def test_nothing_waits_where_nobody_looks(tmp_path):
    with NetVizWriter(tmp_path) as writer:
        writer.watch(network(), every=1, on_finding="ignore")
        for step in range(40):
            writer.add_scalar("loss/train", 1.0, step)
        writer.flush()
        assert not writer.netviz_run().sink.waiting


def test_what_comes_in_a_flood_is_looked_at_all_the_same(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(lookout, "SHORTEST_WAIT", 60.0)  # Only at the end.
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    with torch.no_grad():
        model[0].bias[:20] = -1e3
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer, every=1)
        for _ in range(80):
            model(torch.randn(64, 8)).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()
            for number in range(80):  # 6,400 events of ours in all.
                writer.add_scalar(f"number/{number}", 0.0)
    assert LAYER in capfd.readouterr().err
