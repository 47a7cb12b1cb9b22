"""From the arguments of `watch_embedding` and `add_tsne` to what is followed."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any

from torch import Tensor, nn

from tb_netviz.embedding.embeddings import Embeddings, points_of
from tb_netviz.embedding.labels import given
from tb_netviz.embedding.track import plan_of
from tb_netviz.pytorch.embeddings.inputs import ManyInputs
from tb_netviz.pytorch.embeddings.vectors import name_of
from tb_netviz.pytorch.embeddings.watched import Wanted, WatchedEmbedding
from tb_netviz.pytorch.probes.arguments import bytes_of, text_of
from tb_netviz.pytorch.probes.probe import Probe
from tb_netviz.pytorch.probes.subject import subject_of
from tb_netviz.pytorch.run import RunOwner
from tb_netviz.pytorch.shards import is_spread_over_processes, kind_of
from tb_netviz.pytorch.structure import named_modules
from tb_netviz.recorder.probing import ProbeSchedule


class EmbeddingOwner(RunOwner):
    """A writer that follows where inputs lie in the spaces of the models that it watches."""

    @abstractmethod
    def _embeddings(self) -> Embeddings:
        """Return what is laid out in the run, open for more."""

    @abstractmethod
    def _follow(self, embedding: WatchedEmbedding) -> None:
        """Keep an embedding; it takes the place of one of the same model and name."""

    @abstractmethod
    def _known_step(self) -> int | None:
        """Return the training step in progress, where one is known."""

    def watch_embedding(
        self,
        name: str,
        module: str | nn.Module,
        inputs: Any,
        labels: Any = None,
        dims: int = 2,
        every: int | None = None,
        thumbnails: Any = None,
        *,
        model: nn.Module | None = None,
        classes: Sequence[Any] | None = None,
        perplexity: float = 30.0,
        budget_bytes: int = 64 << 20,
    ) -> WatchedEmbedding:
        """Run `inputs` through a model now and then, and lay out what one of its modules makes of them.

        They are laid out by PCA at once and by t-SNE when that is ready, in a process of its own.

        Args:
            name: Tells several embeddings of a model apart.
            module: Whose output it is: a name such as "blocks.3", or the module itself; "" for that of the model.
                Sequences, images and volumes are averaged over their positions. Of several calls in a pass the first
                one counts.
            inputs: The points, some hundreds to some thousands: a tensor whose first dimension is the sample, or a
                tuple or dict of the model's arguments. They are copied, and run in batches.
            labels: One for each. Whole numbers, texts and truth values are classes, numbers with a fraction in their
                type are numbers; None and NaN are missing. Where they are indices of the model's outputs, the classes
                that it predicts are recorded, too.
            dims: 2 or 3.
            every: Run them every so many steps, whatever it costs; by default as often as the budget of the watch
                allows, and at most eight times for each doubling of the step count.
            thumbnails: A picture of each, [points, height, width], with channels before or after these.
            model: The model, where several are watched or none.
            classes: Names of the classes by their index.
            perplexity: Of t-SNE.
            budget_bytes: Bytes that it may take in the event file.

        Raises:
            TypeError: If an argument is of the wrong kind.
            ValueError: If the model is not told, has no such module, or an argument does not fit.
        """
        run = self.netviz_run()
        if model is None and isinstance(module, nn.Module):
            model = _holder([watch._model() for watch in run.watches if watch.attached], module)
        subject = subject_of(run, model, "watch_embedding")
        root, rounds = subject.root, subject.rounds
        wanted_module = name_of(module, root)
        many, plan = _known(ManyInputs(inputs), rounds.probes), plan_of(dims, perplexity, bytes_of(budget_bytes))
        given_labels = given(labels, many.samples)
        points = points_of(many.samples, given_labels, _array(thumbnails), plan, classes)
        names = None if classes is None else tuple(map(str, classes))
        schedule = ProbeSchedule(every, rounds.time, max(plan.most_bytes - points.nbytes, 1))
        embeddings = self._embeddings()
        track = embeddings.open(subject.name, text_of(name), wanted_module or kind_of(root), many.digest, plan)
        wanted = Wanted(wanted_module, many, points, given_labels, names, plan)
        embedding = WatchedEmbedding(root, rounds, wanted, schedule, embeddings, track)
        if is_spread_over_processes(root):
            embedding.refuse()
        self._follow(embedding)
        return embedding

    def add_tsne(
        self,
        name: str,
        vectors: Any,
        labels: Any = None,
        step: int | None = None,
        *,
        dims: int = 2,
        thumbnails: Any = None,
        predictions: Any = None,
        classes: Sequence[Any] | None = None,
        inputs: str = "",
        perplexity: float = 30.0,
    ) -> None:
        """Lay out vectors of your own. Returns at once; where an earlier step is still at work, the latest wins.

        Args:
            name: Of the embedding.
            vectors: [points, …]: a tensor, or anything that is an array. They are copied.
            labels: One for each point, as in `watch_embedding`.
            step: Of the training; by default that in progress, where a model is watched, else one more than the last.
            dims: 2 or 3.
            thumbnails: As in `watch_embedding`.
            predictions: A class of each point, given as the labels are.
            classes: Names of the classes by their index, where the labels are indices or such names.
            inputs: Stands for the points: embeddings with the same are compared point by point.
            perplexity: Of t-SNE.

        Raises:
            TypeError: If an argument is of the wrong kind.
            ValueError: If an argument does not fit the points.
        """
        self._embeddings().add(
            name,
            _array(vectors),
            labels,
            self._known_step() if step is None else step,
            plan=plan_of(dims, perplexity),
            thumbnails=_array(thumbnails),
            predictions=predictions,
            classes=classes,
            inputs=inputs,
        )


def _holder(models: Sequence[nn.Module | None], module: nn.Module) -> nn.Module | None:
    """Return the only one of the models that has the module; None where that is not clear."""
    wanted = next(iter(named_modules(module)))[1]
    found = [model for model in models if model is not None and any(one is wanted for _, one in named_modules(model))]
    return found[0] if len(found) == 1 else None


def _known(inputs: ManyInputs, probes: Iterable[Probe[Any]]) -> ManyInputs:
    """Return the same inputs where another embedding has them: both share a pass."""
    others = [probe.wanted.inputs for probe in probes if isinstance(probe, WatchedEmbedding)]
    return next((other for other in others if other.same_as(inputs)), inputs)


def _array(given: Any) -> Any:
    """Return a tensor as an array, and anything else as it is."""
    if not isinstance(given, Tensor):
        return given
    tensor = given.detach().cpu().resolve_conj().resolve_neg()
    short = tensor.is_floating_point() and tensor.element_size() < 4
    return (tensor.float() if short else tensor).numpy()
