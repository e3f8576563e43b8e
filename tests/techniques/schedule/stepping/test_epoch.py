from sota_exp.techniques.schedule.stepping.epoch import SteppingPerEpoch


def test_holds_within_an_epoch():
    assert [SteppingPerEpoch()(step, 4, 12) for step in range(12)] == [0.0] * 4 + [4 / 12] * 4 + [8 / 12] * 4
