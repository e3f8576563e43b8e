"""Which images weights were trained on, by the digests in `trained_on.npy` beside them; which of them are scored."""

import io
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sota_exp.config.build import prefix_invalid_values
from sota_exp.config.data_paths import expand_home
from sota_exp.data.read_files import map_in_threads
from sota_exp.data.store_writer import hash_file, shorten_digest
from sota_exp.errors import DamagedFile, first_line
from sota_exp.models.weights_from_mlflow import fetch_weights_file
from sota_exp.runs.files import RunFiles, read_trained_on_beside
from sota_exp.stages.data import DataSet

log = logging.getLogger(__name__)

#: Stands before digests of names and sizes, of sets whose contents were not all read. Digests are at least 0.
OF_NAMES = -1

#: How images are known to have been trained on.
KNOWN_BY = "(the same files, byte for byte; other copies are not recognized)"

#: Slots whose `path` is a file of weights that were trained before.
EARLIER_WEIGHTS = (("model", "weights"), ("regularization", "distillation"))


def read_trained_on(weights: Path) -> np.ndarray | None:
    """Digests of the images that weights were trained on, int64 [N], from the file beside them; None without one.

    Raises:
        DamagedFile: it is not as the run wrote it, or has no digests.
    """
    content = read_trained_on_beside(weights)
    try:
        return None if content is None else np.load(io.BytesIO(content), allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise DamagedFile(weights.with_name("trained_on.npy"), f"it has no digests: {first_line(error)}") from error


def read_trained_on_of(networks: Sequence[Path]) -> list[np.ndarray | None]:
    """`read_trained_on` of the weights of each network; None too where the file that the run wrote is gone.

    Raises:
        DamagedFile: as `read_trained_on`.
    """
    found: list[np.ndarray | None] = []
    for weights in networks:
        try:
            found.append(read_trained_on(weights))
        except FileNotFoundError:
            found.append(None)
    return found


def list_digests(data: DataSet) -> np.ndarray:
    """The digests of the training images, int64 [N], after `OF_NAMES` where they are those of names and sizes."""
    digests = data.image_digests[data.train].numpy()
    return digests if data.knows_contents else np.concatenate([[OF_NAMES], digests])


def are_comparable(data: DataSet, digests: np.ndarray) -> bool:
    """Whether `digests`, from `read_trained_on`, are all of the kind of those of the data."""
    return bool((digests != OF_NAMES).all()) == data.knows_contents


def find_among(data: DataSet, part: str, digests: np.ndarray) -> np.ndarray:
    """The images of a part of the data, int64 [n], whose digests are among `digests`, int64 [N]."""
    indices = data.part(part).numpy()
    found: np.ndarray = indices[np.isin(data.image_digests.numpy()[indices], digests)]
    return found


def count_trained_on(data: DataSet, parts: Sequence[str], digests: np.ndarray) -> dict[str, int] | None:
    """The number of images of each part of the data whose digests are among `digests`, int64 [N].

    None: digests of contents and of names are not to be compared.
    """
    if not are_comparable(data, digests):
        return None
    return {part: len(find_among(data, part, digests)) for part in parts}


def format_trained_on(counts: dict[str, int] | None, sizes: dict[str, int]) -> str:
    """`54 of 60 val images …`: how many of the images that are scored were trained on; empty if none was.

    counts: from `count_trained_on`; None if the training images are unknown, which is said. sizes: images of each part.
    """
    if counts is None:
        return (
            "unknown training images (no trained_on.npy beside the weights), or those of one set are known by contents "
            "and of the other by names (data.digest=full): those that are scored may be among them"
        )
    some = _join_counts(counts, sizes)
    return f"{some} were trained on {KNOWN_BY}: scores on them say nothing about new images" if some else ""


def describe_predicted(files: Sequence[Path], known: Sequence[np.ndarray | None]) -> str:
    """`3 of 3 images …`: how many of the files were trained on, and by how many of several networks; "" if none was.

    known: from `read_trained_on_of`. Digests of names are those of no content.
    """
    trained_on = [digests for digests in known if digests is not None]
    if not trained_on:
        return ""
    digests = np.array(list(map_in_threads(lambda path: shorten_digest(hash_file(path)), files)), dtype=np.int64)
    nums = np.sum([np.isin(digests, each) for each in trained_on], axis=0)
    if not nums.any():
        return ""
    least, most = nums[nums > 0].min(), nums.max()
    networks = f"{most} of {len(known)} networks" if least == most else f"{least} to {most} of {len(known)} networks"
    return (
        f"{(nums > 0).sum()} of {len(files)} images were trained on{f' by {networks}' * (len(known) > 1)} {KNOWN_BY}: "
        "their predictions say nothing about new images; predictions.csv of a run has those of its test images"
    )


def warn_of_shared_images(data: DataSet) -> None:
    """Log how many images of val and test are training images too, by their digests, with the name of the first.

    And how many groups, whose images vary together, are in both.
    """
    digests = data.image_digests[data.train].numpy()
    shared = {part: find_among(data, part, digests) for part in ("val", "test")}
    if some := _join_counts({part: len(found) for part, found in shared.items()}, data.count_images()):
        first = next(found[0] for found in shared.values() if len(found))
        log.warning(
            "training images are in other parts too: %s, such as %s; scores on them say nothing about new images: keep "
            "copies of an image in one part",
            some,
            data.name_image(int(first)),
        )
    if data.groups is not None:
        train, *others = (data.groups[data.part(part)].numpy() for part in ("train", "val", "test"))
        if num := len(np.intersect1d(train, np.concatenate(others))):
            log.warning(
                "%d groups have images in train and in val or test, which makes scores too good; "
                "data/split=cross_validation and data/split=repeated keep groups together",
                num,
            )


def write_trained_on(files: RunFiles, data: DataSet, tree: dict[str, Any]) -> None:
    """Write the digests of the training images and of those of earlier weights; warn if val or test has some of these.

    Earlier weights that do not say the mean and std of their images are told too.

    tree: the resolved configuration.
    """
    digests = [list_digests(data)]
    for group, slot in EARLIER_WEIGHTS:
        path, store = (tree[group][slot].get(name) for name in ("path", "store"))
        if not path:
            continue
        with prefix_invalid_values(f"{group}.{slot}"), fetch_weights_file(str(expand_home(path)), store) as file:
            earlier = read_trained_on(file)
            if tree[group][slot].get("mean") is None and not file.with_name("model.json").is_file():
                told = "%s.%s.path=%s does not say its mean and std: those of the training images are used; %s"
                log.warning(told, group, slot, path, f"{group}.{slot}.mean and .std set them")
        if earlier is None:
            log.info("%s.%s.path=%s: no trained_on.npy beside it: its training images are unknown", group, slot, path)
            continue
        digests.append(earlier)
        counts = count_trained_on(data, ("val", "test"), earlier)
        if said := format_trained_on(counts, data.count_images()):
            log.warning("%s.%s.path=%s: by these weights %s", group, slot, path, said)
    files.write_trained_on(np.concatenate(digests))


def _join_counts(counts: dict[str, int], sizes: dict[str, int]) -> str:
    """`2 of 60 val images and 1 of 60 test images`, of the parts with any; "" if there is none."""
    names = {part: "" if part == "all" else f"{part} " for part in counts}
    return " and ".join(f"{num} of {sizes[part]} {names[part]}images" for part, num in counts.items() if num)
