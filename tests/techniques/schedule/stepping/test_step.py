from sota_exp.techniques.schedule.stepping.step import SteppingPerStep


def test_moves_with_every_step():
    assert [SteppingPerStep()(step, 4, 8) for step in range(9)] == [step / 8 for step in range(9)]
