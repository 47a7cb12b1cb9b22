"""Forward hooks that measure the outputs of a watched model at observed steps."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from tb_netviz.pytorch.activations.compiled import Beginning, Changer, Ear, Maker, Teller
from tb_netviz.pytorch.activations.functions import Functions
from tb_netviz.pytorch.activations.makers import Makers, holds_tensors
from tb_netviz.pytorch.activations.outputs import (
    Layout,
    first_tensor,
    is_measurable,
    layout_of,
    with_units,
)
from tb_netviz.pytorch.activations.readings import Reading
from tb_netviz.pytorch.activations.responses import WEIGHTED, Bend, bend_of, is_convolution
from tb_netviz.pytorch.activations.sites import MOST_CALLS, Key, Place, Site, Sites
from tb_netviz.pytorch.activations.tally import Entry, Tally
from tb_netviz.pytorch.compiled import has_compiled
from tb_netviz.pytorch.hooks import Gate, GatedHook, Guard
from tb_netviz.pytorch.reductions.host import gradient_bins
from tb_netviz.pytorch.scripted import is_scripted
from tb_netviz.pytorch.shards import kind_of
from tb_netviz.pytorch.structure import compiled_modules, named_modules, unwrap
from tb_netviz_plugin.schema.description import Response


class _Hooked(NamedTuple):
    """What is known of a module whose output is measured.

    Attributes:
        bend: What its units do.
        has_weights: Whether it is its weights that make the units.
        convolved: Whether they do so by convolution.
    """

    bend: Bend
    has_weights: bool
    convolved: bool


class _Weighted(NamedTuple):
    """The module with weights that ran last, and what ran behind it."""

    name: str = ""
    units: int = 0
    convolved: bool | None = None
    makers: Makers = ()

    def then(self, module: nn.Module) -> _Weighted:
        """Return it with a module behind it that holds tensors of its own."""
        return self._replace(makers=(*self.makers, weakref.ref(module))) if self.makers else self


def _made_by(name: str, modules: Sequence[nn.Module]) -> _Weighted:
    first = modules[0]
    if not isinstance(first, WEIGHTED):
        return _Weighted()
    units = getattr(first, "out_channels", getattr(first, "out_features", 0))
    return _Weighted(name, units, is_convolution(first), tuple(weakref.ref(module) for module in modules))


class Capture:
    """Measures what activations, and modules with weights, put out in training-mode forward passes.

    Nothing of an output is kept but sums. While the gate is closed a hook does nothing but look at it.

    Args:
        model: The model, held weakly.
        guard: Runs the hooks.

    Attributes:
        sites: Where outputs are measured.
        is_deaf: Whether functions are not listened to, something being compiled.
        dropouts: Largest share that is left out by functions that a module calls, by the module's name.
    """

    def __init__(self, model: nn.Module, guard: Guard) -> None:
        self._guard = guard
        self._model = weakref.ref(model)
        self._gate = Gate()
        self._names: dict[int, str] = {}
        self._handles: list[RemovableHandle] = []
        self.is_deaf = False
        self.dropouts: dict[str, float] = {}
        self.sites = Sites(self._name, kind_of(model))
        self._tally = Tally()
        self._calls: dict[tuple[int, tuple[int, int] | None], int] = {}
        self._weighted = _Weighted()
        self._sees_all = True  # Not where layers are TorchScript, which may be the last ones before any output.
        self._pass_is_over = False
        self._with_bins = False
        self._turn = 0
        self._passes = 0
        self._previous: Site | None = None  # In the pass.
        self._functions = Functions(guard, self._owner, self._take_function, self._take_dropout)
        for name, module in named_modules(model):
            self._names[id(module)] = name
            bend = bend_of(module)
            if is_scripted(module):
                self._sees_all = False
            elif bend is not None:
                hooked = _Hooked(bend, isinstance(module, WEIGHTED), is_convolution(module))
                self._handles.append(module.register_forward_hook(self._hook(hooked, module)))
            elif holds_tensors(module):
                changer = Changer(self._gate, guard, self._pass_through, module, self._follow)
                self._handles.append(module.register_forward_hook(changer))
        self._beginning = self._hook_beginning(model)
        self._handles.append(model.register_forward_hook(GatedHook(self._gate, guard, self._end_pass)))

    def _hook(self, hooked: _Hooked, module: nn.Module) -> GatedHook:
        """Return a hook. Compiled code is not asked for what the compiler would fuse away, such as linear outputs."""
        take = partial(self._take_module, hooked)
        if hooked.bend.response is not Response.NONE:
            return Teller(self._gate, self._guard, take, module, self._follow)
        if hooked.has_weights:
            return Maker(self._gate, self._guard, take, module, self._follow)
        return GatedHook(self._gate, self._guard, take)

    def _hook_beginning(self, model: nn.Module) -> Beginning:
        """Hook the beginnings of passes, of which compiled code tells where it tells of outputs."""
        beginning = Beginning(self._gate, self._guard, self._begin_pass, model, self._follow, start=self._start)
        hooks = [hook for module in model.modules() for hook in module._forward_hooks.values()]
        tells = any(isinstance(hook, Teller) for hook in hooks)
        quiet = GatedHook(self._gate, self._guard, self._begin_pass)
        self._handles.append(model.register_forward_pre_hook(beginning if tells else quiet))
        return beginning

    @property
    def heard(self) -> tuple[object, ...]:
        """What a description says of what was heard; another one is due where it changes."""
        return len(self.sites.order), self.is_deaf, tuple(self.dropouts.items())

    def listen(self, *, with_bins: bool) -> None:
        """Measure what comes from now on.

        Args:
            with_bins: Whether magnitudes are counted, too.
        """
        self._gate.open = True
        self._with_bins = with_bins
        self._turn += 1

    def mute(self) -> None:
        """Measure nothing from now on."""
        self._gate.open = False
        self._functions.leave()

    def take(self) -> Tally:
        """Return what was measured since the last call."""
        tally, self._tally = self._tally, Tally()
        self._calls.clear()
        return tally

    def detach(self) -> None:
        """Take all hooks off."""
        self.mute()
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def _begin_pass(self, model: nn.Module, _arguments: object) -> None:
        self._start()
        if model.training and self._may_call_functions():
            if self._is_compiled(model):
                self.is_deaf = True
            else:
                self._functions.enter()

    def _start(self) -> None:
        self._calls.clear()
        self._weighted, self._previous = _Weighted(), None

    def _end_pass(self, _model: nn.Module, _arguments: object, _output: object) -> None:
        self._functions.leave()
        self._passes += 1

    def _may_call_functions(self) -> bool:
        """Whether to listen to functions: where none was found they are looked for ever less often, for their cost."""
        found = bool(self.dropouts) or any(site.line for site in self.sites.order)
        return self._passes > 0 and (found or self._passes.bit_count() == 1)

    @staticmethod
    def _is_compiled(model: nn.Module) -> bool:
        """Whether something may be compiled anew because we lie over the calls of torch.

        A function that is compiled when it is first called is known only after the first pass, which is left alone.
        """
        return has_compiled() or next(compiled_modules(model), None) is not None

    def _take_module(self, hooked: _Hooked, module: nn.Module, _arguments: object, output: Any) -> None:
        # What we do with tensors is none of the user's functions.
        with torch._C.DisableTorchFunction():
            tensor = first_tensor(output)
            if tensor is None or not is_measurable(tensor) or not self._counts(module):
                return
            if id(module) not in self._names:
                self._name_all()
            layout = layout_of(tensor, convolved=hooked.convolved if hooked.has_weights else self._weighted.convolved)
            if hooked.has_weights:
                units = tensor.shape[layout.axis] if tensor.ndim > 1 else 1
                name, makers = self._names.get(id(module), ""), (weakref.ref(module),)
                self._weighted = _Weighted(name, units, hooked.convolved, makers)
            elif holds_tensors(module):
                self._weighted = self._weighted.then(module)
            self._take(id(module), module, None, hooked.bend, tensor, layout)

    def _follow(self, makers: Sequence[Ear]) -> None:
        """Know what has made, in compiled code, the units that come next, unless that is another model's."""
        if self._beginning.has_begun:
            self._beginning.has_begun = False
            self._start()
        modules = [module for ear in makers if (module := ear.module()) is not None]
        if modules and id(modules[0]) in self._names:
            self._weighted = _made_by(self._names[id(modules[0])], modules)

    def _pass_through(self, module: nn.Module, _arguments: object, _output: object) -> None:
        if self._counts(module):
            self._weighted = self._weighted.then(module)

    def _take_function(
        self, module: nn.Module, place: Place, bend: Bend, output: Tensor, layout: Layout | None
    ) -> None:
        with torch._C.DisableTorchFunction():
            if is_measurable(output) and self._counts(module):
                layout = layout or layout_of(output, convolved=self._weighted.convolved)
                self._take(id(module), module, place, bend, output, layout)

    def _take_dropout(self, module: nn.Module, share: float) -> None:
        if self._counts(module):
            name = self._name(module)
            self.dropouts[name] = max(share, self.dropouts.get(name, 0.0))

    def _take(
        self, owner: int, module: nn.Module, place: Place | None, bend: Bend, output: Tensor, layout: Layout
    ) -> None:
        if self._pass_is_over:
            self._calls.clear()
            self._pass_is_over = False
        code = None if place is None else place.code
        call = self._calls[owner, code] = min(self._calls.get((owner, code), 0) + 1, MOST_CALLS)
        key = Key(owner, call, code)
        measured, layout = with_units(output.detach(), layout)
        units = measured.shape[layout.axis]
        site = self.sites.find(key)
        if site is None:
            weighted = self._weighted if self._sees_all and self._weighted.units == units else _Weighted()
            site = self.sites.meet(
                key, module, place, bend, measured, layout, weighted.name, weighted.makers, self._previous
            )
        self._previous = site
        if site.units != units:
            return  # Another number of units can't be told apart from those that were described.
        self._measure(site, output, measured)

    def _measure(self, site: Site, output: Tensor, measured: Tensor) -> None:
        reading = site.readings.of(measured, self._turn)
        if not reading.counts.samples:
            return
        entry = Entry(reading.sums(measured), reading.counts)
        if self._with_bins and measured.is_cpu:
            entry.bins = gradient_bins([measured])[0]
        known = self._tally.add(site, entry)
        if output.requires_grad and not output.is_leaf:
            output.register_hook(  # type: ignore[no-untyped-call]  # In torch.
                partial(self._take_gradient, known, reading)
            )

    def _take_gradient(self, entry: Entry, reading: Reading, gradient: Tensor) -> None:
        self._pass_is_over = True
        if not torch.compiler.is_compiling():
            self._guard.run(self._add_squares, entry, reading, gradient)

    def _add_squares(self, entry: Entry, reading: Reading, gradient: Tensor) -> None:
        gradient = gradient.detach()
        entry.add_squares(reading.squares(gradient if gradient.ndim > 1 else gradient.reshape(-1, 1)))

    def _counts(self, module: nn.Module) -> bool:
        """Whether this is a first pass in training, and not one that recomputes, evaluates or runs in a replica."""
        model = self._model()
        return (
            model is not None
            and model.training
            and torch._C._current_graph_task_id() == -1
            and not torch.is_inference_mode_enabled()  # Nothing is learned from such a pass.
            and "_is_replica" not in module.__dict__
        )

    def _owner(self, candidate: object) -> nn.Module | None:
        """Return `candidate` if it is a module of the model."""
        return candidate if isinstance(candidate, nn.Module) and id(candidate) in self._names else None

    def _name(self, module: nn.Module) -> str:
        return self._names.get(id(module), "")  # Of an unknown module nothing is described.

    def _name_all(self) -> None:
        """Look at the names again, since the model has changed."""
        model = self._model()
        if model is not None:
            self._names = {id(module): name for name, module in named_modules(unwrap(model))}
