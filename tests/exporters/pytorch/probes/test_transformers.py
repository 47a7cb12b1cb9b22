"""Attention of a Hugging Face model, of either implementation, is what the model itself returns as its attention."""

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification

from tb_netviz.pytorch import NetVizWriter
from tests.support.albums import assert_shown, read_album


def network(implementation):
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    return BertForSequenceClassification(BertConfig(vocab_size=100, attn_implementation=implementation, **sizes))


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_attention_is_that_of_the_model(tmp_path, implementation):
    model = network(implementation)
    words, mask = torch.arange(30).view(3, 10), torch.ones(3, 10, dtype=torch.long)
    mask[1, 7:] = 0
    inputs = {"input_ids": words, "attention_mask": mask}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with NetVizWriter(tmp_path) as writer:
        writer.watch(model, optimizer)
        writer.watch_activation_maps(inputs, every=1)
        for _ in range(2):
            model(**inputs, labels=torch.tensor([0, 1, 0])).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    album = read_album(tmp_path)
    names = [f"bert.encoder.layer.{layer}.attention.self" for layer in range(2)]
    assert album.modules == [(name, "attention") for name in names]
    eager = network("eager").eval()
    eager.load_state_dict(model.state_dict())
    with torch.no_grad():
        attentions = eager(**inputs, output_attentions=True).attentions
    for name, expected in zip(names, attentions, strict=True):
        assert_shown(album.values(name, 1), expected.double().numpy())
