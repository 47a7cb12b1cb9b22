"""`tb-netviz check`, run as a user runs it, on files as they lie on the disk."""

import os
import pty
import subprocess
import sys

import numpy as np
import pytest

from tb_netviz.check.checked import Checked
from tb_netviz.check.text import as_text
from tb_netviz.cli import main
from tb_netviz_plugin.analysis.network import unite
from tb_netviz_plugin.diagnosis import RULES, Beyond, Finding, Remedy, Report, Severity, Skipped
from tests.support.apps import parse_json
from tests.support.distributions import ROOT
from tests.support.runs import HOSTILE_NAMES, RunFile, dense_layers, describe, observe, random_gradients, write_run

NONFINITE, UNUSED = (next(rule for rule in RULES if rule.id == name) for name in ("nonfinite", "unused_parameter"))
LAYERS = {name: {"weight": (4, 4)} for name in ("stem", "fc", "spare")}


@pytest.fixture(scope="module")
def log_dir(tmp_path_factory):
    """A folder with a run that has NaN from step 30 on, one with a layer without a gradient, and a healthy one."""
    folder = tmp_path_factory.mktemp("runs")
    write_run(folder / "nan", layers=LAYERS, steps=range(60), nan={"fc": range(30, 60)})
    write_run(folder / "unused", layers=LAYERS, steps=range(60), none={"spare": range(60)})
    write_run(folder / "well", layers=LAYERS, steps=range(60))
    return folder


@pytest.fixture
def check(capsys):
    """Runs the command and returns exit status, standard output and standard error."""

    def run(*arguments):
        try:
            status = main(["check", *map(str, arguments)])
        except SystemExit as end:  # What argparse refuses.
            status = int(end.code or 0)
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def test_json_has_the_findings_with_the_names_of_layers(check, log_dir):
    status, out, err = check(log_dir, "--format", "json")
    assert (status, err) == (1, "")
    runs = {run["run"]: run for run in parse_json(out.encode())["runs"]}
    assert list(runs) == ["nan", "unused", "well"]
    (found,) = [one for one in runs["nan"]["findings"] if one["rule"] == "nonfinite"]
    assert (found["severity"], found["layers"], found["units"]) == ("critical", ["fc"], None)
    assert (found["first_step"], found["last_step"]) == (30, 59)
    assert found["evidence"][0]["values"] == [0] * 30 + [1] * 30
    assert {"message", "beyond", "excluded", "remedies", "consequences"} <= set(found)
    for run in runs.values():
        assert run["checks"] == len(RULES) - len(run["not_checked"])
        assert all(one["reason"] for one in run["not_checked"])


@pytest.mark.parametrize(
    ("run", "fail_on", "status"),
    [
        ("nan", "critical", 1),
        ("nan", "info", 1),
        ("unused", "critical", 0),
        ("unused", "warning", 1),
        ("well", "warning", 0),
        ("well", "critical", 0),
    ],
)
@pytest.mark.parametrize("kind", ["text", "json"])
def test_the_exit_status_says_how_bad_it_is(check, log_dir, run, fail_on, status, kind):
    assert check(log_dir, "--run", run, "--fail-on", fail_on, "--format", kind)[0] == status


def test_a_warning_fails_by_default(check, log_dir):
    assert check(log_dir, "--run", "unused")[0] == 1


def test_text_says_what_since_when_and_what_to_try(check, log_dir):
    _, out, _ = check(log_dir, "--run", "nan")
    assert out.startswith("run nan: 1 critical")
    lines = [line.strip() for line in out.splitlines()]
    head = lines.index("CRITICAL: NaN or infinite values [nonfinite]")
    assert lines[head + 1] == "fc, steps 30 to 59"
    assert lines.index("What to try:") > head
    assert "torch.autograd.set_detect_anomaly(True)" in lines
    assert max(map(len, out.splitlines())) <= 80


def test_a_healthy_run_says_so_and_what_was_not_checked(check, log_dir):
    _, out, _ = check(log_dir, "--run", "well")
    skipped = parse_json(check(log_dir, "--run", "well", "--format", "json")[1].encode())["runs"][0]["not_checked"]
    assert "checks passed" in out
    assert f"{len(skipped)} not checked" in out
    assert all(one["title"] in out for one in skipped)


def test_a_consequence_is_indented_under_its_cause_and_remedies_come_last():
    words = Beyond("share", 0.9, 0.5), (), (Remedy("Try it.", "it()\nagain()"),), ("Not frozen.",)
    effect = Finding("unused_parameter", Severity.WARNING, (2,), 40.0, 40.0, "It follows.", *words)
    layers = tuple(range(8))
    cause = Finding("nonfinite", Severity.CRITICAL, layers, 3e4, 1e6, "It is so.", *words, consequences=(effect,))
    network = unite([describe(dense_layers(8))])
    text = as_text([Checked("a", network, Report((cause,), (NONFINITE,), (Skipped(UNUSED, "why"),)))])
    assert text.splitlines() == [
        "run a: 1 critical, 1 warning",
        "",
        f"  CRITICAL: {NONFINITE.title} [nonfinite]",
        "  blocks.0, blocks.1, blocks.2, blocks.3, blocks.4, 3 more, steps 30,000 to",
        "  1,000,000",
        "  It is so.",
        "  share: 0.9, threshold 0.5",
        "  Ruled out: Not frozen.",
        "  From this follows:",
        f"    WARNING: {UNUSED.title} [unused_parameter]",
        "    blocks.2, step 40",
        "    It follows.",
        "    share: 0.9, threshold 0.5",
        "    Ruled out: Not frozen.",
        "  What to try:",
        "  1. Try it.",
        "         it()",
        "         again()",
        "",
        "  1 check passed, 1 not checked:",
        f"    {UNUSED.title}: why",
    ]


def test_thresholds_can_be_moved(check, log_dir):
    arguments = (log_dir, "--run", "unused", "--threshold")
    assert check(*arguments, "unused_parameter.records=61")[0] == 0
    assert check(*arguments, "unused_parameter.records=60")[0] == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--threshold", "unused_parameter.records"], "rule.name=number"),
        (["--threshold", "unused_parameter.records=x"], "rule.name=number"),
        (["--threshold", "unused_parameter.records=-1"], "must be from 2 to"),
        (["--threshold", "no.such=1"], "there is no threshold 'no.such'; there are"),
        (["--run", "none"], "there is no run 'none'"),
        (["--fail-on", "never"], "invalid choice"),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(check, log_dir, arguments, words):
    status, out, err = check(log_dir, *arguments)
    assert (status, out) == (2, "")
    assert words in err
    assert "Traceback" not in err


def test_a_folder_without_runs_is_refused(check, tmp_path):
    assert check(tmp_path)[0] == 2
    assert check(tmp_path / "none")[0] == 2


def test_a_run_that_cannot_be_read_is_told_and_the_others_go_on(check, tmp_path):
    write_run(tmp_path / "new", schema_version=2)
    write_run(tmp_path / "old")
    status, out, err = check(tmp_path)
    assert status == 2
    assert "'new' can't be read: " in err
    assert "run old: " in out
    status, out, err = check(tmp_path, "--run", "new")
    assert (status, out) == (2, "")


def test_hostile_names_neither_break_the_lines_nor_the_terminal(check, tmp_path):
    names = [*HOSTILE_NAMES, "\x1b[31mred", "a" * 79 + " b"]
    layers = {name: {"weight": (4, 4)} for name in names}
    write_run(tmp_path / "run", layers=layers, nan={name: range(5, 20) for name in names})
    _, out, _ = check(tmp_path)
    assert all(sign == "\n" or sign.isprintable() for sign in out)
    assert max(map(len, out.splitlines())) <= 80
    (run,) = parse_json(check(tmp_path, "--format", "json")[1].encode())["runs"]
    assert set(names) == {name for one in run["findings"] for name in one["layers"]}


def on_a_terminal(log_dir, **environment):
    """Return what the command writes to a terminal."""
    leader, follower = pty.openpty()
    program = "import sys; from tb_netviz.cli import main; sys.exit(main(['check', sys.argv[1], '--run', 'nan']))"
    paths = os.pathsep.join([str(ROOT), str(ROOT / "exporters")])
    clean = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "TERM")}
    done = subprocess.Popen(
        [sys.executable, "-c", program, str(log_dir)],
        stdout=follower,
        env=clean | {"PYTHONPATH": paths, "TERM": "xterm"} | environment,
    )
    os.close(follower)
    written = b""
    while True:
        try:
            part = os.read(leader, 65536)
        except OSError:  # The other end is closed: this is how Linux says so.
            break
        if not part:
            break
        written += part
    os.close(leader)
    assert done.wait() == 1
    return written.decode()


def test_a_terminal_gets_colour_unless_it_asks_for_none(log_dir):
    assert "\x1b[1;31m" in on_a_terminal(log_dir)
    assert "\x1b" not in on_a_terminal(log_dir, NO_COLOR="1")
    assert "\x1b" not in on_a_terminal(log_dir, TERM="dumb")


def test_a_pipe_gets_no_colour(check, log_dir):
    assert "\x1b" not in check(log_dir)[1]


def test_nan_in_the_evidence_is_null(check, tmp_path):
    description = describe(dense_layers(2))
    rng = np.random.default_rng(0)
    weights = random_gradients(description, rng)
    with RunFile(tmp_path / "run") as file:
        file.describe(description)
        for step in range(12):
            gradients = random_gradients(description, rng)
            if step > 6:
                gradients[0][:] = np.inf
            file.record(description, step, observe(gradients, weights, gradients))
    status, out, _ = check(tmp_path, "--format", "json")
    assert status == 1
    assert parse_json(out.encode())
