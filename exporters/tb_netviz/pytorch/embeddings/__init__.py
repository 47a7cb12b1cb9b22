"""Embeddings: inputs that are run through a model beside its training, and where a module puts them."""

from tb_netviz.pytorch.embeddings.attach import EmbeddingOwner
from tb_netviz.pytorch.embeddings.watched import WatchedEmbedding

__all__ = ["EmbeddingOwner", "WatchedEmbedding"]
