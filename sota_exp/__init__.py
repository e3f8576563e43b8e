"""Which image-classification techniques help on your data and model, how much, at what cost, and how surely."""

from pathlib import Path

#: The folder of this package.
PACKAGE = Path(__file__).resolve().parent

#: The configuration groups: inside the package in an installed wheel, beside it in a checkout.
CONF = PACKAGE / "conf" if (PACKAGE / "conf").is_dir() else PACKAGE.parent / "conf"
