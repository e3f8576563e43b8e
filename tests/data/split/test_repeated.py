import numpy as np

from tests.data.split.splitting import opened, write_table


def split(number):
    return {"_option_": "repeated", "repeat": number}


def test_each_number_is_another_stratified_split_of_all_images(tmp_path):
    write_table(tmp_path)
    found = [opened(tmp_path, split(number), test_fraction=0.25, val_fraction=0.2) for number in (0, 1, 0)]
    tests = [set(data.test.tolist()) for data in found]
    assert tests[0] == tests[2] != tests[1]
    for data in found:
        assert [len(part) for part in (data.train, data.val, data.test)] == [24, 6, 10]
        assert np.bincount(data.labels[data.test]).tolist() == [5, 5]
        assert len(set(torch_list(data))) == 40


def torch_list(data):
    return [*data.train.tolist(), *data.val.tolist(), *data.test.tolist()]


def test_groups_stay_in_one_part(tmp_path):
    groups = [str(index // 4) for index in range(80)]
    write_table(tmp_path, 80, groups=groups)
    data = opened(tmp_path, split(3), test_fraction=0.2, val_fraction=0.2)
    for part in (data.train, data.val, data.test):
        others = set(range(80)) - set(part.tolist())
        assert not {groups[index] for index in part} & {groups[index] for index in others}
    assert len(data.test) == 16
