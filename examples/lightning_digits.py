"""Lightning: one callback. `python examples/lightning_digits.py`, then `tensorboard --logdir lightning_logs`."""

import lightning
import torch
from sklearn.datasets import load_digits
from torch import nn

from tb_netviz.pytorch.integrations.lightning import NetVizCallback


class Classifier(lightning.LightningModule):
    """A multilayer perceptron for images of 8 × 8 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        return self.layers(images)

    def training_step(self, batch: list[torch.Tensor], _index: int) -> torch.Tensor:
        """Return the loss; what is logged here also stands in the Gradient Flow tab."""
        images, labels = batch
        loss = nn.functional.cross_entropy(self(images), labels)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch: list[torch.Tensor], _index: int) -> None:
        """Log the validation's loss."""
        images, labels = batch
        self.log("val_loss", nn.functional.cross_entropy(self(images), labels))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the optimizer."""
        return torch.optim.AdamW(self.parameters(), lr=2e-3)


lightning.seed_everything(0)
digits = load_digits()
data = torch.utils.data.TensorDataset(torch.tensor(digits.data / 16).float(), torch.tensor(digits.target))
training, validation = torch.utils.data.random_split(data, [0.8, 0.2])

trainer = lightning.Trainer(
    max_epochs=5,
    log_every_n_steps=5,
    gradient_clip_val=1.0,  # Gradients are recorded as the optimizer applies them: after clipping.
    callbacks=[NetVizCallback()],  # Records go into the file of Lightning's own TensorBoardLogger.
)
trainer.fit(
    Classifier(),
    torch.utils.data.DataLoader(training, batch_size=32, shuffle=True),
    torch.utils.data.DataLoader(validation, batch_size=128),
)
