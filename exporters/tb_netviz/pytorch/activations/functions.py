"""Activation functions and dropout that are called without being modules, found while a watched model runs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import PurePath
from types import FrameType
from typing import Any, Final

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode, _get_current_function_mode

from tb_netviz.pytorch.activations.outputs import HEAD, Layout
from tb_netviz.pytorch.activations.responses import Bend, bend_of, bend_of_function
from tb_netviz.pytorch.activations.sites import Place
from tb_netviz.pytorch.details import dropout_of
from tb_netviz.pytorch.hooks import Guard

_DEPTH = 12
"""Frames above a call that are looked through for the module in whose code it stands."""
_HEADS = 4
"""Axes of what attention returns where it has heads: batch, head, place, feature."""

_DROPOUTS: Final = frozenset(
    ("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout")
)
"""Functions that leave something out in training, by a share that is their second argument."""

Take = Callable[[nn.Module, Place, Bend, Tensor, Layout | None], None]
Drop = Callable[[nn.Module, float], None]


class Functions:
    """Hears of such functions between `enter` and `leave`. It lies over the calls of torch in this thread.

    Args:
        guard: Runs what is done about them.
        owner: Returns the module that some object in a calling frame is, if it is one of the model.
        take: Takes the module in whose code a function is called, where, what its units do, and the output.
        drop: Takes the module in whose code dropout is called, and the share that is left out.
    """

    def __init__(self, guard: Guard, owner: Callable[[object], nn.Module | None], take: Take, drop: Drop) -> None:
        self._guard = guard
        self._owner = owner
        self._take = take
        self._drop = drop
        self._mode: _Mode | None = None

    def enter(self) -> None:
        """Listen. A pass that was broken off by an error is over."""
        self.leave()
        self._mode = _Mode(self._hear)
        self._mode.__enter__()  # type: ignore[no-untyped-call]  # In torch.

    def leave(self) -> None:
        """Listen no longer; if something of the user's lies over us, do so once that is gone."""
        mode = self._mode
        if mode is None:
            return
        mode.hear = None
        if _get_current_function_mode() is mode:  # type: ignore[no-untyped-call]  # In torch.
            mode.__exit__(None, None, None)
            self._mode = None

    def _hear(self, name: str, arguments: tuple[Any, ...], keywords: Mapping[str, Any], output: Any) -> None:
        self._guard.run(self._find, name, arguments, keywords, output, sys._getframe(2))

    def _find(
        self, name: str, arguments: tuple[Any, ...], keywords: Mapping[str, Any], output: Any, frame: FrameType
    ) -> None:
        if name in _DROPOUTS:
            self._find_dropout(arguments, keywords, frame)
            return
        bend = _bend(name, arguments, keywords)
        if bend is None or not isinstance(output, Tensor):
            return
        caller = _caller(frame)
        module = self._module(caller)
        if caller is None or module is None or bend_of(module) is not None:
            return
        line = f"{PurePath(caller.f_code.co_filename).name}:{caller.f_lineno}"
        attends = name == "scaled_dot_product_attention" and output.ndim == _HEADS
        place = Place(name.removesuffix("_"), (id(caller.f_code), caller.f_lasti), line)
        self._take(module, place, bend, output, Layout(1, HEAD) if attends else None)

    def _find_dropout(self, arguments: tuple[Any, ...], keywords: Mapping[str, Any], frame: FrameType) -> None:
        share, training = (
            keywords.get(name, arguments[place] if len(arguments) > place else usual)
            for place, name, usual in ((1, "p", 0.5), (2, "training", True))
        )
        module = self._module(_caller(frame))
        if training and isinstance(share, int | float) and module is not None and not dropout_of(module):
            self._drop(module, float(share))

    def _module(self, frame: FrameType | None) -> nn.Module | None:
        """Return the innermost module of the model in whose code, or below it, the call stands."""
        for _ in range(_DEPTH):
            if frame is None:
                return None
            found = self._owner(frame.f_locals.get("self"))
            if found is not None:
                return found
            frame = frame.f_back
        return None


class _Mode(TorchFunctionMode):
    """Tells of the functions that are activations or dropout."""

    def __init__(self, hear: Callable[..., None]) -> None:
        super().__init__()
        self.hear: Callable[..., None] | None = hear

    def __torch_function__(
        self, function: Any, types: Any, arguments: tuple[Any, ...] = (), keywords: dict[str, Any] | None = None
    ) -> Any:
        keywords = keywords or {}
        output = function(*arguments, **keywords)
        name = getattr(function, "__name__", "")
        if self.hear is not None and _is_heard(name):
            self.hear(name, arguments, keywords, output)
        return output


def _is_heard(name: str) -> bool:
    return bend_of_function(name) is not None or name.startswith("clamp") or name in _DROPOUTS


def _bend(name: str, arguments: tuple[Any, ...], keywords: Mapping[str, Any]) -> Bend | None:
    """Return what the units of a call do; a clamp from zero upwards rectifies."""
    if not name.startswith("clamp"):
        return bend_of_function(name)
    low = keywords.get("min", arguments[1] if len(arguments) > 1 else None)
    high = keywords.get("max", arguments[2] if len(arguments) > 2 else None)
    if isinstance(low, Tensor) or low != 0:
        return None
    rectifier = bend_of_function("relu")
    if rectifier is None or not isinstance(high, int | float):
        return rectifier
    return rectifier._replace(flat=(rectifier.flat[0], float(high)))


def _caller(frame: FrameType | None) -> FrameType | None:
    """Return the innermost frame that is no code of torch's own functions."""
    inside = ("torch.nn.functional", "torch.overrides", "torch._tensor", "torch.functional", __name__)
    while frame is not None and frame.f_globals.get("__name__") in inside:
        frame = frame.f_back
    return frame
