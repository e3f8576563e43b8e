"""Classifier-and-norm fine-tuning: adapts the last layers to the apparent object size of evaluation, after training.

The classifier and the norm layer before global pooling (scale, shift and running statistics) are trained for a few more
epochs on the training images, preprocessed as in evaluation, with cross-entropy. All other layers are frozen, in
evaluation mode. SGD with momentum 0.9, lr_t = lr·(1 + cos(π·t/T))/2.

Paper: Touvron et al. 2019, Fixing the train-test resolution discrepancy, 1906.06423
Setting: in the paper ResNet-50 reaches 77.1 % on ImageNet after training at 128 px and 79.8 % after 224 px, both with a
larger test size. The defaults here are cautious: lr 0.01 for a batch of 128, 3 epochs.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from sota_exp.models.parts import find_last_norm, freeze_all_but_classifier
from sota_exp.stages.evaluation import FineTuning, TrainingImages
from sota_exp.stages.random import RandomStreams
from sota_exp.stages.stage import Count, Positive, Several

MOMENTUM = 0.9


def train_classifier_and_norm(network: nn.Module) -> list[nn.Parameter]:
    """Freeze all but the classifier and the norm layer before pooling; returns the parameters to train."""
    freeze_all_but_classifier(network)
    norm = find_last_norm(network)
    if norm is not None:
        norm.train().requires_grad_(True)
    return [parameter for parameter in network.parameters() if parameter.requires_grad]


@dataclass(frozen=True, kw_only=True)
class ClassifierAndNormTuning(FineTuning):
    epochs: Count
    lr: Positive
    batch_size: Several

    def __call__(self, network: nn.Module, training: TrainingImages, streams: RandomStreams) -> bool:
        parameters = train_classifier_and_norm(network)
        optimizer = torch.optim.SGD(parameters, lr=self.lr, momentum=MOMENTUM)
        per_epoch = max(1, len(training.labels) // self.batch_size)
        batches: list[torch.Tensor] = []
        for epoch in range(self.epochs):
            order = training.shuffle(streams.generator("evaluation/fine_tune", epoch), self.batch_size)
            batches += order.split(self.batch_size)[:per_epoch]
        for step, (images, chosen) in enumerate(zip(training.read(batches), batches, strict=True)):
            optimizer.param_groups[0]["lr"] = self.lr * (1 + math.cos(math.pi * step / len(batches))) / 2
            streams.seed_layers(f"fine_tune/{step}")
            with training.precision():
                logits = network(images)
            if step == 0:
                scaler = torch.amp.GradScaler(logits.device.type, enabled=logits.dtype == torch.float16)
            optimizer.zero_grad()
            labels = training.labels[chosen].to(logits.device, non_blocking=True)
            scaler.scale(F.cross_entropy(logits.float(), labels)).backward()
            scaler.step(optimizer)
            scaler.update()
        network.eval().requires_grad_(True)
        return True
