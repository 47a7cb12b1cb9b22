"""The command `tb-netviz`."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence

from tb_netviz.refusal import RefusalError

PACKAGES = {"torch": "torch", "sklearn": "scikit-learn", "tqdm": "tqdm"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 0, 1 where `check` found something, or 2 with a reason in words."""
    parsed = _parser().parse_args(arguments)
    status = 0
    try:
        status = parsed.command(parsed)
        sys.stdout.flush()
    except RefusalError as refusal:
        print(f"tb-netviz: {refusal}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # Whoever reads has enough, as `head` does; Python would complain of it once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return int(status)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tb-netviz", description="See inside a neural network while it trains, in TensorBoard."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    demo = commands.add_parser(
        "demo",
        help="train three small networks and open what happened",
        description="Train three networks on handwritten digits (a healthy CNN, a sigmoid MLP whose gradient vanishes, "
        "a ReLU network whose learning rate is raised until its layers die), start TensorBoard and print a link "
        "to the worst of them. Earlier runs are kept: a second demo gets fresh names.",
    )
    demo.add_argument("--logdir", default="runs", help="where the runs are written (default: runs)")
    demo.add_argument("--no-serve", action="store_true", help="only train, don't start TensorBoard")
    demo.add_argument("--port", type=int, help="TensorBoard's port (default: 6006, or a free one)")
    demo.add_argument("--steps", type=_positive, help="optimizer steps of each network (default: about 1,000)")
    demo.set_defaults(command=_demo)
    units = commands.add_parser(
        "units",
        help="list the units of a run that are dead, and since when, or redundant",
        description="Read the event files below a log folder, and list its units with their states at the last step: "
        "alive, sparse, dead, saturated, frozen, never_run, not_recorded, revived or silent; and which do the same as "
        "another one of their layer, or the opposite. As text, these and the dead ones are listed one by one.",
    )
    units.add_argument("logdir", metavar="LOGDIR", help="the folder that TensorBoard gets as --logdir")
    units.add_argument("--run", metavar="NAME", help="only this run, by the name that TensorBoard gives it")
    units.add_argument("--layer", metavar="NAME", help="only this layer, by its name or that of its activation")
    units.add_argument("--state", help="only units in this state, or those that are redundant")
    units.add_argument("--format", choices=("text", "json", "csv"), default="text", help="default: text")
    units.add_argument("--samples", metavar="N", type=_positive, help="samples that death takes (default: 1,000)")
    units.set_defaults(command=_units)
    _add_check(commands)
    _add_embed(commands)
    return parser


def _add_check(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    check = commands.add_parser(
        "check",
        help="say what is wrong with a run, since when, why, and what to do",
        description="Read the event files below a log folder and judge each run by the rules by which the tab judges "
        "it. The exit status is 0 without findings of the severity of --fail-on or worse, 1 with one, and 2 if a run "
        "could not be read.",
    )
    check.add_argument("logdir", metavar="LOGDIR", help="the folder that TensorBoard gets as --logdir")
    check.add_argument("--run", metavar="NAME", help="only this run, by the name that TensorBoard gives it")
    check.add_argument("--format", choices=("text", "json"), default="text", help="default: text")
    check.add_argument(
        "--fail-on",
        choices=("info", "warning", "critical"),
        default="warning",
        help="from which severity on the exit status is 1 (default: warning)",
    )
    check.add_argument(
        "--threshold",
        metavar="RULE.NAME=VALUE",
        action="append",
        default=[],
        help="move a threshold; may be given several times",
    )
    check.set_defaults(command=_check)


def _add_embed(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    embed = commands.add_parser(
        "embed",
        help="lay out the embeddings of a run again, backwards from its end",
        description="Read the vectors that a run has kept, fit those of its last step in full and the steps before it "
        "backwards from there, and add the layout to the run. It is calmer than one that was made beside the training.",
    )
    embed.add_argument("logdir", metavar="LOGDIR", help="the folder that TensorBoard gets as --logdir")
    embed.add_argument("--run", metavar="NAME", help="only this run, by the name that TensorBoard gives it")
    embed.add_argument("--name", metavar="NAME", help="only the embedding of this name")
    embed.add_argument("--method", choices=("tsne", "umap", "pca"), default="tsne", help="default: tsne")
    embed.add_argument("--dims", type=int, choices=(2, 3), default=2, help="default: 2")
    embed.add_argument(
        "--perplexity", type=_perplexity, default=30.0, help="about how many neighbours count for a point (default: 30)"
    )
    embed.set_defaults(command=_embed)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _perplexity(text: str) -> float:
    number = float(text)
    if not 1 <= number < float("inf"):
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _demo(arguments: argparse.Namespace) -> int:
    try:
        from tb_netviz.demo import command
    except ModuleNotFoundError as error:
        package = PACKAGES.get(error.name or "")
        if package is None:
            raise
        raise RefusalError(
            f"the demo needs {package}. Install it with: pip install 'tb-netviz-plugin[demo]'"
        ) from error
    command.run(arguments)
    return 0


def _units(arguments: argparse.Namespace) -> int:
    from tb_netviz.units import command

    _escape_foreign_signs()
    command.run(arguments)
    return 0


def _check(arguments: argparse.Namespace) -> int:
    from tb_netviz.check import command

    _escape_foreign_signs()
    return command.run(arguments)


def _embed(arguments: argparse.Namespace) -> int:
    from tb_netviz.embed import command

    _escape_foreign_signs()
    command.run(arguments)
    return 0


def _escape_foreign_signs() -> None:
    """Names may hold what the terminal's encoding has no sign for."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
