"""Leaves out images that links put into a second class or split."""

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

from sota_exp.data.folders import find_real_places
from sota_exp.data.listing import ImageFile, Listing
from sota_exp.stages.stage import InvalidValue

log = logging.getLogger(__name__)


def has_links_between(root: Path, folders: Iterable[Path]) -> bool:
    """Whether a folder below `root` is a link, or lies behind one below `root`."""
    between = {each for folder in folders for each in (folder, *folder.parents) if each.is_relative_to(root)}
    return any(each.is_symlink() for each in between - {root})


def drop_linked_copies(root: Path, listed: Listing, folders: Mapping[int, Path]) -> Listing:
    """The images without those that a link leads to and that are in another class or split, which are told.

    folders: split → its folder. An image proper goes before a link, and of two links the first one stays.

    Raises:
        InvalidValue: nothing else is in a class folder.
    """
    images = listed[:]
    places = find_real_places(root, [Path(root, image) for image in listed.names()])
    owners: dict[str, ImageFile] = {}
    for image, (real, _) in sorted(zip(images, places, strict=True), key=lambda item: item[1][1]):
        owners.setdefault(real, image)
    pairs = [(image, owners[real]) for image, (real, _) in zip(images, places, strict=True)]
    kept = [place for place, (image, owner) in enumerate(pairs) if image[1:] == owner[1:]]
    copies = [(image, owner) for image, owner in pairs if image[1:] != owner[1:]]
    left = {images[place][1:] for place in kept}
    for image, owner in copies:
        if image[1:] not in left:
            folder, other = (folders[each.split] / each.class_name for each in (image, owner))
            legal = f"a folder of classes, but the images of {folder} are links to those of {other}; remove the links"
            raise InvalidValue("root", root, legal)
    if copies:
        image, owner = copies[0]
        log.warning(
            "%s: links to images that are in another class or split already are left out: %d, such as %s, which is %s",
            root,
            len(copies),
            image.path,
            owner.path,
        )
    return listed.take(kept) if copies else listed
