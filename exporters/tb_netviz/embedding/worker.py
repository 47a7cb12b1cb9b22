"""The process that lays out embeddings beside a training: `python -m tb_netviz.embedding.worker FOLDER BYTES`.

It asks for the processor last, uses one thread, imports no training framework, and ends as soon as nobody is at the
other end of its standard input.
"""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from tb_netviz.embedding.jobs import GREETING, Message, Question, receive, send

SEED = 0


class Followed:
    """One embedding, as the worker knows it.

    Args:
        question: Its points.
    """

    def __init__(self, question: Message) -> None:
        from tb_netviz.embedding.course import Course

        values = question.values
        self.name = str(values["name"])
        self.labels: list[str] | None = values["labels"]
        self.classes = question.arrays.get("classes")
        self.thumbnails = question.arrays.get("thumbnails")
        self.course = Course(int(values["dims"]), float(values["perplexity"]), SEED)
        self.vectors: npt.NDArray[np.float32] = np.empty((0, 0), np.float32)
        self.step = 0


class Worker:
    """Answers questions.

    Args:
        folder: Of the run.
        most_bytes: That the projector's files may take.
    """

    def __init__(self, folder: str, most_bytes: int) -> None:
        self._folder = folder
        self._most_bytes = most_bytes
        self._followed: dict[int, Followed] = {}
        self._projector: Any = None

    def answer(self, question: Message) -> Message:
        """Return the answer; what can't be done is said in words, under the name of what is missing."""
        if question.kind == Question.POINTS:
            return self._points(question)
        followed = self._followed[question.values["embedding"]]
        answers = {Question.VECTORS: self._vectors, Question.PROJECTOR: self._project, Question.TSNE: self._tsne}
        return answers[Question(question.kind)](followed, question)

    def _points(self, question: Message) -> Message:
        from tb_netviz.embedding.course import backend, broken, missing_words

        self._followed[question.values["embedding"]] = Followed(question)
        words = broken() if backend() else broken() | {"t-SNE": missing_words()}
        return Message(values={"words": words, "broken": broken()})

    def _vectors(self, followed: Followed, question: Message) -> Message:
        from tb_netviz.embedding.measures import measure
        from tb_netviz.embedding.signature import signature

        followed.vectors, followed.step = question.arrays["vectors"], question.values["step"]
        answer = Message(values={"words": {}})
        _try(answer, followed, "PCA", lambda: _place(answer, followed.course.pca(followed.vectors)))
        _try(answer, followed, "measures", lambda: _note(answer, measure(followed.vectors, followed.classes, SEED)))
        _try(answer, followed, "similarity", lambda: answer.arrays.update(signature=signature(followed.vectors)))
        return answer

    def _tsne(self, followed: Followed, _question: Message) -> Message:
        answer = Message(values={"words": {}})
        _try(answer, followed, "t-SNE", lambda: _place(answer, followed.course.tsne(followed.vectors)))
        return answer

    def _project(self, followed: Followed, _question: Message) -> Message:
        answer = Message(values={"words": {}})
        _try(answer, followed, "projector", lambda: self._add_to_projector(answer, followed))
        return answer

    def _add_to_projector(self, answer: Message, followed: Followed) -> None:
        from tb_netviz.embedding.projector import Projector

        self._projector = self._projector or Projector(self._folder, self._most_bytes)
        words = self._projector.add(
            followed.name, followed.step, followed.vectors, followed.labels, followed.thumbnails
        )
        if words:
            answer.values["words"]["projector"] = words


def _place(answer: Message, placed: Any) -> None:
    answer.arrays["positions"] = placed.positions
    answer.values["figures"] = {name: float(value) for name, value in placed.figures.items()}


def _note(answer: Message, measures: Mapping[str, float]) -> None:
    answer.values["measures"] = {name: float(value) for name, value in measures.items()}


def _try(answer: Message, followed: Followed, subject: str, function: Callable[[], object]) -> None:
    """Call `function`; where it fails, say so under `subject`, and let the rest go on."""
    from tb_netviz.embedding.course import CannotPlaceError

    try:
        function()
    except CannotPlaceError as error:
        answer.values["words"][subject] = f"{error}, first at step {followed.step}"
    except Exception as error:  # Whatever a library raises on odd numbers: the next step may go well.
        answer.values["words"][subject] = f"{type(error).__name__}: {error}, first at step {followed.step}"


def main() -> None:
    """Answer what comes through standard input, until its end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is meant for the training, which then ends us.
    if hasattr(os, "nice"):
        os.nice(19)
    questions, answers = _own_pipes()
    answers.write(GREETING)
    waiting: queue.SimpleQueue[Message] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(questions, waiting), daemon=True).start()
    worker = Worker(sys.argv[1], int(sys.argv[2]))
    while True:
        send(answers, worker.answer(waiting.get()))


def _own_pipes() -> tuple[IO[bytes], IO[bytes]]:
    """Return standard input and output for us alone; what libraries print goes to standard error."""
    questions, answers = os.fdopen(os.dup(0), "rb", 0), os.fdopen(os.dup(1), "wb", 0)
    os.dup2(2, 1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return questions, answers


def _listen(questions: IO[bytes], waiting: queue.SimpleQueue[Message]) -> None:
    """Hand on questions; with the training everything ends, whatever is under way."""
    try:
        while True:
            waiting.put(receive(questions))
    except Exception:  # The end of the stream, or half a message.
        os._exit(0)


if __name__ == "__main__":
    main()
