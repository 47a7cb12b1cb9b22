"""A sharded model: `torchrun --nproc-per-node 2 examples/pytorch_sharded.py`, then `tensorboard --logdir runs`."""

import torch
from torch import nn
from torch.distributed.fsdp import fully_shard

from tb_netviz.pytorch import NetVizWriter

torch.distributed.init_process_group("gloo")
rank, processes = torch.distributed.get_rank(), torch.distributed.get_world_size()

torch.manual_seed(0)
inputs = torch.randn(512, 16)
targets = inputs[:, :4].argmax(dim=1)
mine = torch.utils.data.TensorDataset(inputs[rank::processes], targets[rank::processes])
loader = torch.utils.data.DataLoader(mine, batch_size=32 // processes)

model = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 4))
for layer in model:
    if isinstance(layer, nn.Linear):
        fully_shard(layer)
fully_shard(model)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
criterion = nn.CrossEntropyLoss()

with NetVizWriter("runs/sharded") as writer:
    writer.watch(model, optimizer, criterion)  # In every process; the first one writes.
    for _epoch in range(10):
        for x, y in loader:
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
torch.distributed.destroy_process_group()
