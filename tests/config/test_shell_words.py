"""Commands for a reader: the shell gives back the words, without quotes that neither it nor Hydra needs."""

import shlex

import pytest

from sota_exp.config.shell_words import join_command, quote_word


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        ("data.root='photos/2024'", "data.root=photos/2024"),
        ("data.root='my photos'", "\"data.root='my photos'\""),
        ("data.root='写真'", "\"data.root='写真'\""),
        ("outputs/写真-é", "outputs/写真-é"),
        ("data.column='null'", "\"data.column='null'\""),
        ("data.column='12'", "\"data.column='12'\""),
        ("data.column='.5'", "\"data.column='.5'\""),
        ("study.only=[mixup,ema]", "'study.only=[mixup,ema]'"),
        ("a/$HOME's", "'a/$HOME'\"'\"'s'"),
        ("~model/arch", "'~model/arch'"),
        ("", "''"),
    ],
)
def test_a_word_is_quoted_where_it_must_be(word: str, shown: str) -> None:
    assert quote_word(word) == shown
    (given,) = shlex.split(join_command([word]))
    assert given.replace("'", "") == word.replace("'", "")
