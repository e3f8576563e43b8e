"""A value that is written for Hydra's command line is read back as it was, whatever signs it has."""

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from sota_exp.config.data_paths import quote_paths
from sota_exp.config.values import format_override_value
from tests.rows import each_row

VALUES = ["a b", "$x", "${x}", "a\\b", "a\\", "a\\\\", "a\\'b", "'", '"', "\\${x}", "\\\\${x}", "x\\${x", "%41 ?#&+"]
VALUES += ["a=b,c[d]{e}(f)", "line\nbreak", "日本", "~x", "", "{", "${", "$$", "${oc.env:HOME}", "null", "1", " x "]


def read(override):
    parsed = OverridesParser.create().parse_override(override)
    config = OmegaConf.create({"x": 1})
    OmegaConf.update(config, "key", parsed.value())
    return config.key


@each_row("value", [*VALUES, [1, "a,b"], None, True, 0.5])
def test_round_trip(value):
    assert read(f"key={format_override_value(value)}") == value


def test_paths_that_exist_or_that_hydra_cannot_read_are_meant_literally(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("photos, old (2)", "[new]", "${x}"):
        (tmp_path / name).mkdir()
        (word,) = quote_paths([f"data.root={name}"])
        assert read(word) == name
    assert [read(*quote_paths([f"data.root={name}"])) for name in ("~/gone", "gone (2)")] == ["~/gone", "gone (2)"]
    others = ["data.root=missing,other", "seed=1", "data=fake", "data.class_order=natural", "--help", "data.root="]
    assert quote_paths(others) == others
