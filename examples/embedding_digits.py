"""How a representation moves: `python examples/embedding_digits.py`, then `tensorboard --logdir runs`.

A small network learns scikit-learn's digits. Five hundred of them are run through it now and then; the Embeddings view
shows how the classes come apart in its last hidden layer, how far the picture can be trusted, and what the model takes
each digit for. A training as short as this is over before each step has its t-SNE: `tb-netviz embed runs` lays out all
that were kept, backwards from the end, which is calmer, too.
"""

import torch
from sklearn.datasets import load_digits
from torch import nn

from tb_netviz.pytorch import NetVizWriter

torch.manual_seed(0)
digits = load_digits()
images = torch.tensor(digits.images / 16, dtype=torch.float32)
classes = torch.tensor(digits.target)
loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(images, classes), batch_size=64, shuffle=True)

model = nn.Sequential(
    nn.Flatten(),
    nn.Linear(64, 128),
    nn.ReLU(),
    nn.Linear(128, 64),
    nn.ReLU(),
    nn.Linear(64, 10),
)
optimizer = torch.optim.Adam(model.parameters(), lr=3e-4)
criterion = nn.CrossEntropyLoss()

with NetVizWriter("runs/embedding") as writer:
    writer.watch(model, optimizer, criterion)
    writer.watch_embedding(
        "hidden",
        "4",  # The module whose output is followed: the second ReLU.
        images[:500],
        labels=classes[:500],
        thumbnails=images[:500],
        every=40,
    )
    for _epoch in range(20):
        for x, y in loader:
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            writer.add_scalar("loss/train", loss, writer.step)
