"""ImageNet in torchvision's layout: `train/<WordNet id>/…` and `val/<WordNet id>/…`.

Paper: Russakovsky et al. 2014, ImageNet Large Scale Visual Recognition Challenge, arXiv 1409.0575.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from timm.data import ImageNetInfo

from sota_exp.config.data_paths import IMAGENET_LAYOUT, expand_home
from sota_exp.data.image_files import FileList, FileSource
from sota_exp.data.image_folder import find_split_folders, list_split_images
from sota_exp.data.listing import Listing
from sota_exp.data.shared_listing import share_listing
from sota_exp.data.store_writer import TEST, TRAIN, VAL
from sota_exp.stages.data import DataSet
from sota_exp.stages.stage import InvalidValue


def get_class_names() -> dict[str, str]:
    """WordNet id → its first word, with the id where two classes have the same one ("crane": a bird and a machine)."""
    info = ImageNetInfo("imagenet-1k")
    words = {name: info.label_name_to_description(name).split(",")[0] for name in info.label_names()}
    count = Counter(words.values())
    return {name: word if count[word] == 1 else f"{word} ({name})" for name, word in words.items()}


def find_imagenet(root: Path) -> Listing:
    """Every image of both splits, or of the test split alone, which is the folder `val`.

    Raises:
        InvalidValue: there is no test split.
    """
    folders = find_split_folders(root, splits=(TRAIN, VAL)) if root.is_dir() else {}
    found = list_split_images(root, {TEST if split == VAL else split: folder for split, folder in folders.items()})
    if not (found.rows["split"] == TEST).any():
        raise InvalidValue("root", root, IMAGENET_LAYOUT)
    return found


@dataclass(frozen=True, kw_only=True)
class ImageNet(FileSource):
    """ImageNet, or any of its classes; the official test labels are secret, so its val split is the test split."""

    root: str

    def __call__(self) -> DataSet:
        if not expand_home(self.root, "train").is_dir():
            raise InvalidValue("root", self.root, IMAGENET_LAYOUT)
        return super().__call__()

    def list_files(self) -> FileList:
        root, names = expand_home(self.root), get_class_names()
        found = share_listing(self.cache, ["imagenet", str(root.absolute())], lambda: find_imagenet(root))
        return FileList(root, found, "root", lambda name: names.get(name, name))
