"""What the score of a class hangs on, with captum: saliency of the input, and Grad-CAM of the last convolution."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tb_netviz.pytorch.probes.inputs import ProbeInputs
from tb_netviz.pytorch.probes.maps import first_tensor
from tb_netviz_plugin.schema.probe import MapKind

METHODS = ("saliency", "grad_cam")
INPUT = "input"
"""What stands in the place of a module's name for maps of the input."""


def methods_of(attribution: str | Iterable[str]) -> tuple[str, ...]:
    """Return the argument `attribution` as names of methods.

    Raises:
        ValueError: If there is another one among them.
        ModuleNotFoundError: If captum is not installed.
    """
    methods = (attribution,) if isinstance(attribution, str) else tuple(attribution)
    for method in methods:
        if method not in METHODS:
            raise ValueError(f"attribution must be some of {', '.join(METHODS)}, got {method!r}")
    if methods:
        _import_captum()
    return tuple(dict.fromkeys(methods))


def _import_captum() -> None:
    """Import captum now, which takes a second, rather than beside the training."""
    try:
        import captum.attr  # type: ignore[import-untyped]  # noqa: F401
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            'attribution needs captum, which is not installed: pip install "tb-netviz-plugin[attribution]"'
        ) from error


def targets_of(target: int | Sequence[int] | None, samples: int) -> list[int] | None:
    """Return the argument `target` as a class for each sample, or None.

    Raises:
        TypeError: If it is something else.
        ValueError: If there is not one for each sample.
    """
    if target is None:
        return None
    given = target.tolist() if isinstance(target, Tensor) else target
    classes: list[Any] = list(given) if isinstance(given, list | tuple) else [given] * samples
    if not all(isinstance(each, int) and not isinstance(each, bool) for each in classes):
        raise TypeError(f"target must be the index of a class, or one for each sample, got {target!r}")
    if len(classes) != samples:
        raise ValueError(f"target must be one class, or one for each of the {samples} samples, got {len(classes)}")
    return classes


class Attribution:
    """Explains the score of a class by the inputs of a probe.

    Args:
        model: The model; `undisturbed`.
        inputs: The inputs.
        target: A class for each, or None for that which the model predicts.
        output: What the model made of the inputs.
        convolution: Name and module of the last convolution with more than one place, or None.

    Raises:
        ValueError: If the output has no scores of classes, or not of that one.
    """

    def __init__(
        self,
        model: nn.Module,
        inputs: ProbeInputs,
        target: list[int] | None,
        output: Any,
        convolution: tuple[str, nn.Module] | None,
    ) -> None:
        self._model = model
        self._inputs = inputs
        self._convolution = convolution
        scores = scores_in(output)
        if len(scores) != inputs.samples:
            raise ValueError(
                f"the output has the shape {tuple(scores.shape)}, where the probe has {inputs.samples} samples"
            )
        if target is not None and not all(0 <= each < scores.shape[1] for each in target):
            raise ValueError(f"target {target} is out of range: the model tells {scores.shape[1]} classes apart")
        self._target = scores.argmax(1) if target is None else torch.tensor(target, device=scores.device)

    def maps(self, method: str) -> tuple[str, MapKind, Tensor]:
        """Return the name of the place, what its maps show, and the maps [samples, 1, height, width].

        Raises:
            ValueError: If the method does not suit the model or its inputs.
        """
        with torch.enable_grad(), _differentiable(self._model):
            return self._saliency() if method == "saliency" else self._grad_cam()

    def _saliency(self) -> tuple[str, MapKind, Tensor]:
        from captum.attr import Saliency

        if not self._inputs.first.is_floating_point():
            raise ValueError("saliency needs inputs that have a gradient, and these are whole numbers")
        leaf = self._inputs.leaf(self._model)
        found = Saliency(self._scores).attribute(leaf, target=self._target, abs=True).detach()
        if found.ndim == 4:
            return INPUT, MapKind.SALIENCY, found.amax(1, keepdim=True)
        flat = found.reshape(len(found), 1, 1, -1) if found.ndim < 3 else found.flatten(2).transpose(1, 2)[:, None]
        return INPUT, MapKind.SALIENCY, flat

    def _grad_cam(self) -> tuple[str, MapKind, Tensor]:
        from captum.attr import LayerGradCam

        if self._convolution is None:
            raise ValueError("grad_cam needs a convolution, and none ran")
        name, layer = self._convolution
        leaf = self._inputs.leaf(self._model)
        found = LayerGradCam(self._scores, layer).attribute(leaf, target=self._target, relu_attributions=True).detach()
        if found.ndim == 5:
            found = found[:, :, found.shape[2] // 2]
        return name, MapKind.GRAD_CAM, found[:, :, None] if found.ndim == 3 else found

    def _scores(self, first: Tensor) -> Tensor:
        # A copy, since what asks for a gradient may not be changed in place, as by a ReLU that comes first.
        return scores_in(self._inputs.call(self._model, first.clone()))


def scores_in(output: Any) -> Tensor:
    """Return the scores [samples, classes] in what a model returned; of scores by place their mean.

    Raises:
        ValueError: If there are none.
    """
    logits = getattr(output, "logits", output)
    scores = first_tensor(logits.get("logits", logits) if isinstance(logits, Mapping) else logits)
    if scores is None or scores.ndim == 0 or not scores.is_floating_point():
        raise ValueError(f"the model returned a {type(output).__name__}, in which there are no scores of classes")
    if scores.ndim == 1:
        return scores[:, None]
    return scores if scores.ndim == 2 else scores.flatten(2).mean(2)


@contextlib.contextmanager
def _differentiable(model: nn.Module) -> Iterator[None]:
    """Recurrent layers of cuDNN have gradients in training only; others take their place."""
    recurrent = any(isinstance(module, nn.RNNBase) for module in model.modules())
    with torch.backends.cudnn.flags(enabled=False) if recurrent else contextlib.nullcontext():
        yield
