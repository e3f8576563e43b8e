"""A program whose two data workers have loaded, until it is killed: `python loading.py START_METHOD`."""

import multiprocessing
import signal
import sys
from types import SimpleNamespace

import torch

from sota_exp.data.train_loader import load_crops


class Crops:
    """As `TrainCrops`, without images."""

    images, streams, num_lanes = SimpleNamespace(blocks=None), SimpleNamespace(world_size=1), 1

    def __getitem__(self, step):
        return torch.zeros(1, 3, 8, 8, dtype=torch.uint8), torch.tensor([step])


if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[1], force=True)
    loader = load_crops(Crops(), range(10**6), 2, pin_memory=False)
    next(loader)
    print(*[each.pid for each in multiprocessing.active_children()], flush=True)
    signal.pause()
