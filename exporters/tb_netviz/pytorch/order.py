"""The order in which modules run, and what passes through them and between them, from one forward pass."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from tb_netviz.events import warn
from tb_netviz.pytorch.compiled import has_compiled
from tb_netviz.pytorch.flow import Flow
from tb_netviz.pytorch.hooks import Guard, Hook
from tb_netviz.pytorch.scripted import UNSEEN, WHOLE, is_scripted, outermost
from tb_netviz.pytorch.steps import StepCounter
from tb_netviz.pytorch.structure import Shapes, compiled_modules, named_modules, unwrap
from tb_netviz_plugin.schema.description import Omission

_UNSEEN = (
    "runs where no hook is called, as in compiled code: the order and the shapes of what is inside are unknown, and of "
    "its activations at most those of modules such as nn.ReLU are recorded, without the gradients of their outputs"
)
_LATE = (
    "no forward pass of {} was seen, as where it is called by a function that torch.compile compiled before `watch`. "
    "Gradients and weights are recorded; the order, the shapes and the activations of its modules are unknown, and "
    "writer.step moves on with the optimizer's step rather than with the forward pass before it. Call `watch` before "
    "the first such call."
)


class Call(NamedTuple):
    """How the model was called."""

    arguments: tuple[Any, ...]
    keywords: Mapping[str, Any]


class ExecutionOrder:
    """Listens to the first training-mode forward pass of `model`, and takes its hooks off when that is over.

    Those of modules that did not run stay until they do, or until `detach`: such a module may be compiled, where a hook
    costs nothing, but its removal another compilation.

    Args:
        model: The model, held weakly.
        guard: Runs the hooks.
        steps: Has heard of the model's forward passes, whether compiled or not.

    Attributes:
        shapes: By the modules' id.
        chains: Ids of linear modules of which the first one's output goes to the second one alone, bent by nothing.
        call: How the model was called, until `forget`.
        omissions: What can't be known because it runs compiled, from `stop` on.
    """

    def __init__(self, model: nn.Module, guard: Guard, steps: StepCounter) -> None:
        self.shapes: dict[int, Shapes] = {}
        self.chains: tuple[tuple[int, int], ...] = ()
        self.call: Call | None = None
        self.omissions: tuple[Omission, ...] = ()
        self._root = weakref.ref(unwrap(model))
        self._order: list[int] = []
        self._flow = Flow()
        self._of_flow = guard.part("Which linear layers feed each other")
        self._handles: dict[int, tuple[RemovableHandle, ...]] = {}
        self._stopped = False
        self._steps = steps
        self._is_late = has_compiled()
        entered, left = Hook(guard, self._entered), Hook(guard, self._left)
        for _, module in named_modules(model):
            if is_scripted(module):
                continue
            self._handles[id(module)] = (
                module.register_forward_pre_hook(entered, with_kwargs=True),
                module.register_forward_hook(left, prepend=True),
            )

    @property
    def heard(self) -> bool:
        """Whether a module has run."""
        return bool(self._order)

    def stop(self) -> None:
        """Listen no longer."""
        if not self._stopped:
            self._take_stock()
        self._stopped = True
        self._flow.forget()
        for key in self._order:
            self._release(key)

    def _take_stock(self) -> None:
        """Say what was not heard."""
        root = self._root()
        if root is None:
            return
        scripted = [name for name, _ in outermost(named_modules(root))]
        if is_scripted(root):
            warn(WHOLE.format(scripted[0]), stacklevel=2)
        names = [] if is_scripted(root) else self._unheard(root)
        self.omissions = (
            *(Omission(name, _UNSEEN) for name in names),
            *(Omission(name, UNSEEN) for name in scripted),
        )

    def _unheard(self, root: nn.Module) -> list[str]:
        """Return the names of what ran where no hook is called."""
        if self.heard:
            return [name for name, _ in compiled_modules(root)]
        name = type(root).__name__
        if self._is_late and not (self._steps.forwarded or self._steps.evaluated):
            warn(_LATE.format(name), stacklevel=2)
        return [name]

    def detach(self) -> None:
        """Take all hooks off."""
        self.forget()
        for key in list(self._handles):
            self._release(key)

    def _release(self, key: int) -> None:
        for handle in self._handles.pop(key, ()):
            handle.remove()

    def forget(self) -> None:
        """Let go of the inputs, and of the graph."""
        self.call = None
        self._flow.forget()

    def sorted(self, model: nn.Module) -> list[tuple[str, nn.Module]]:
        """Return names and modules of `model` in the order in which they ran.

        A module that did not run follows the one registered before it.
        """
        registered = list(named_modules(model))
        ran = set(self._order)
        by_id = {id(module): (name, module) for name, module in registered}
        followers: dict[int, list[int]] = {}
        predecessor = 0
        for _, module in registered:
            if id(module) not in ran:
                followers.setdefault(predecessor, []).append(id(module))
            else:
                predecessor = id(module)
        result = list(followers.get(0, []))
        for key in self._order:
            result += [key, *followers.get(key, [])]
        return [by_id[key] for key in result if key in by_id]

    def _entered(self, module: nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        if getattr(module, "_is_replica", False):
            return  # Of DataParallel; the module itself will not run.
        root = self._root()
        if self._stopped:
            self._release(id(module))
            return
        if root is None or not root.training:
            return
        if module is root:
            self._flow.forget()  # Of a pass that failed.
            if self.call is None:
                self.call = Call(arguments, keywords)
        if id(module) not in self.shapes:
            self._order.append(id(module))
            self.shapes[id(module)] = Shapes(inputs=_first_shape((*arguments, *keywords.values())))

    def _left(self, module: nn.Module, arguments: tuple[Any, ...], output: object) -> None:
        known = self.shapes.get(id(module))
        if known is not None and not known.outputs:
            self.shapes[id(module)] = known._replace(outputs=_first_shape((output,)))
        if known is None or self._stopped:
            return
        self._of_flow.run(self._flow.left, module, arguments, output)
        if module is self._root():
            self._of_flow.run(self._join, output)
            self.stop()

    def _join(self, output: object) -> None:
        self.chains = self._flow.pairs(output)


def _first_shape(values: Any) -> tuple[int, ...]:
    """Return the shape of the first tensor in nested containers."""
    for value in values:
        if isinstance(value, Tensor):
            return tuple(value.shape)
        if isinstance(value, torch.nn.utils.rnn.PackedSequence):
            return tuple(value.data.shape)
        if isinstance(value, Mapping):
            value = value.values()  # noqa: PLW2901  Walked like a list.
        elif not isinstance(value, list | tuple):
            continue
        shape = _first_shape(value)
        if shape:
            return shape
    return ()
