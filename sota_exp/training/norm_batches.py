"""Batches for recomputing the statistics of batch norm: in random order and of the size that training uses.

In the order of the data a batch would hold one class, whose variance is too small.
"""

from collections.abc import Iterator

from torch import Tensor

from sota_exp.data.row_groups import shuffle
from sota_exp.stages.batch import Batch
from sota_exp.training.loop import TrainingSession


def iterate_norm_batches(session: TrainingSession) -> Iterator[Tensor]:
    """This rank's training images in micro-batches of training, normalized, in the default view: float [b, 3, S, S].

    The order is keyed by the seed. Each image is there once, except that all ranks get equally many images, so that
    none waits in a synchronized norm layer.
    """
    world = session.world
    generator = session.streams.generator("norm_batches", world.rank)
    own = session.evaluator.own("train")[: len(session.data.train) // world.size]
    order = shuffle(own, session.data.images.blocks, generator, session.experiment.batch_size)
    # Parts of equal size, up to one image: a small remainder would count as much as a whole batch.
    num_batches = max(1, len(order) * world.size // session.experiment.batch_size)
    batches = order.tensor_split(num_batches)
    read = session.evaluator.read("train", session.evaluator.announce(batches), session.default_view)
    for images, positions in zip(read, batches, strict=True):
        batch = Batch(
            images=images,
            targets=images.new_zeros(len(images), len(session.data.classes)),
            weights=images.new_zeros(len(images)),
            sources=positions,
        )
        for micro in session.experiment.schedule.accumulation(batch):
            yield micro.images
