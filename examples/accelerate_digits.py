"""Accelerate: a tracker that watches. `python examples/accelerate_digits.py`, then `tensorboard --logdir runs`."""

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from sklearn.datasets import load_digits
from torch import nn

from tb_netviz.pytorch.integrations.accelerate import NetVizTracker

set_seed(0)
digits = load_digits()
data = torch.utils.data.TensorDataset(torch.tensor(digits.data / 16).float(), torch.tensor(digits.target))
loader = torch.utils.data.DataLoader(data, batch_size=16, shuffle=True)
model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
criterion = nn.CrossEntropyLoss()

tracker = NetVizTracker("runs/accelerate")  # It takes the place of log_with="tensorboard".
accelerator = Accelerator(log_with=tracker, gradient_accumulation_steps=2)
accelerator.init_trackers("digits", config={"lr": 2e-3})
model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
tracker.watch(model, optimizer)

for _epoch in range(3):
    for images, labels in loader:
        with accelerator.accumulate(model):
            loss = criterion(model(images), labels)
            accelerator.backward(loss)
            if accelerator.sync_gradients:
                accelerator.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
        if accelerator.sync_gradients:
            # Two batches are one step of the optimizer, and tracker.step is its number.
            accelerator.log({"train_loss": loss.item()}, step=tracker.step)
accelerator.end_training()
