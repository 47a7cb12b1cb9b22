"""A sharded model: `torchrun --nproc-per-node 2 examples/pytorch_sharded.py`, then `tensorboard --logdir runs`."""

import torch
from torch import nn
from torch.distributed.fsdp import fully_shard

from tb_netviz.pytorch import NetVizWriter

torch.distributed.init_process_group("gloo")
rank, processes = torch.distributed.get_rank(), torch.distributed.get_world_size()

torch.manual_seed(0)
inputs, targets = torch.randn(512, 16), torch.randint(4, (512,))
mine = torch.utils.data.TensorDataset(inputs[rank::processes], targets[rank::processes])
loader = torch.utils.data.DataLoader(mine, batch_size=32 // processes)

model = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 4))
for layer in model:
    if isinstance(layer, nn.Linear):
        fully_shard(layer)
fully_shard(model)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
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
