"""Writes a translated command with the published recipe that it nearly equals."""

from dataclasses import replace

from sota_exp.config.overrides import compose_configuration, find_shortest_changes

#: The recipe that commands of the reference resemble most.
PUBLISHED = ("recipe=torchvision_exact", "scale=full")


def shorten_overrides(words: list[str]) -> list[str]:
    """`recipe=torchvision_exact` and what differs from it, where this has less than half as many overrides as `words`.

    Raises:
        ConfigError: the words do not compose.
    """
    as_given = ("hydra.", "data.root=")  # a configuration has absolute paths
    other = [word for word in words if word.startswith(as_given)]
    published, wanted = compose_configuration([*PUBLISHED]), compose_configuration(words)
    wanted = replace(
        wanted,
        choices={**wanted.choices, "recipe": published.choices["recipe"]},
        values={**wanted.values, "recipe": published.values["recipe"], "scale": published.values["scale"]},
    )
    changes = [word for word in find_shortest_changes(published, wanted) if not word.startswith(as_given)]
    short = [*PUBLISHED, *changes, *other]
    return short if 2 * len(short) < len(words) else words
