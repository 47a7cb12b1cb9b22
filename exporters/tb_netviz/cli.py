"""The command `tb-netviz`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from tb_netviz.demo.errors import RefusalError

PACKAGES = {"torch": "torch", "sklearn": "scikit-learn", "tqdm": "tqdm"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 0, or 2 with a reason on standard error."""
    parsed = _parser().parse_args(arguments)
    try:
        parsed.command(parsed)
    except RefusalError as refusal:
        print(f"tb-netviz: {refusal}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


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
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _demo(arguments: argparse.Namespace) -> None:
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
