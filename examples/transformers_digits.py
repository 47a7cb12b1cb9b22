"""Hugging Face Trainer: one callback. `python examples/transformers_digits.py`, then `tensorboard --logdir output`."""

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from transformers import Trainer, TrainingArguments, ViTConfig, ViTForImageClassification, set_seed

from tb_netviz.pytorch.integrations.transformers import NetVizCallback

set_seed(0)
digits = load_digits()
images = torch.tensor(digits.images / 16).float().unsqueeze(1)
rows = [{"pixel_values": image, "labels": int(label)} for image, label in zip(images, digits.target, strict=True)]
training, validation = train_test_split(rows, test_size=0.2, random_state=0)

# A small vision transformer with random weights; nothing is downloaded.
config = ViTConfig(
    image_size=8,
    patch_size=2,
    num_channels=1,
    hidden_size=32,
    num_hidden_layers=3,
    num_attention_heads=4,
    intermediate_size=64,
    num_labels=10,
)
arguments = TrainingArguments(
    output_dir="output",
    num_train_epochs=3,
    per_device_train_batch_size=16,
    gradient_accumulation_steps=2,  # Four batches or one: a step is what the optimizer makes of them.
    learning_rate=5e-3,
    logging_steps=5,
    eval_strategy="epoch",
    save_strategy="no",
    disable_tqdm=True,
    report_to="none",  # NetVizCallback logs what report_to="tensorboard" would; with it, both share a file.
)
Trainer(
    model=ViTForImageClassification(config),
    args=arguments,
    train_dataset=training,
    eval_dataset=validation,
    callbacks=[NetVizCallback()],
).train()
