"""The ten lines of the README as a script: `python examples/pytorch_minimal.py`, then `tensorboard --logdir runs`."""

import torch
from torch import nn

from tb_netviz.pytorch import NetVizWriter

torch.manual_seed(0)
inputs = torch.randn(512, 16)
targets = inputs[:, :4].argmax(1)
loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(inputs, targets), batch_size=32, shuffle=True)

model = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 4))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
criterion = nn.CrossEntropyLoss()

with NetVizWriter("runs/minimal") as writer:
    writer.watch(model, optimizer, criterion)
    for _epoch in range(10):
        for x, y in loader:
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            writer.add_scalar("loss/train", loss, writer.step)
