"""How a run may have ended, as `status` in result.json says it."""

#: Statuses of a run that has nothing left to train and whose numbers and weights are final.
COMPLETE = ("finished", "stopped_early")


STATUSES = ("finished", "stopped_early", "pruned", "failed", "interrupted")
