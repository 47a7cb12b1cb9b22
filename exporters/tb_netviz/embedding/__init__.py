"""Pictures of how a representation moves: laid out beside the training by a process of its own."""

from tb_netviz.embedding.writer import EmbeddingWriter

__all__ = ["EmbeddingWriter"]
