"""What the layers see: `python examples/activation_maps_digits.py`, then `tensorboard --logdir runs`.

A small convolutional network learns scikit-learn's digits. Four of them are run through it now and then; the tab shows
what its convolutions make of them and how that changes while it learns, and which pixels its decisions hang on.
"""

import torch
from sklearn.datasets import load_digits
from torch import nn

from tb_netviz.pytorch import NetVizWriter

torch.manual_seed(0)
digits = load_digits()
images = torch.tensor(digits.images[:, None] / 16, dtype=torch.float32)
classes = torch.tensor(digits.target)
loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(images, classes), batch_size=32, shuffle=True)

model = nn.Sequential(
    nn.Conv2d(1, 16, 3, padding=1),
    nn.ReLU(),
    nn.Conv2d(16, 32, 3, padding=1),
    nn.ReLU(),
    nn.AdaptiveAvgPool2d(4),
    nn.Flatten(),
    nn.Linear(32 * 16, 10),
)
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
criterion = nn.CrossEntropyLoss()

with NetVizWriter("runs/activation_maps") as writer:
    writer.watch(model, optimizer, criterion)
    writer.watch_activation_maps(
        images[:4],
        labels=classes[:4],
        attribution=("saliency", "grad_cam"),  # Needs captum: pip install "tb-netviz-plugin[attribution]"
        target=classes[:4].tolist(),
        every=20,
    )
    for _epoch in range(5):
        for x, y in loader:
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            writer.add_scalar("loss/train", loss, writer.step)
