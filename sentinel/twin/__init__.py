"""The twin: the plant as a compiled ensemble that runs ahead of the plant, and an estimator that keeps it in step.

In: a plant file (`plant.load_plant`), readings (`sync.Sync`), a snapshot and writes (`engine.rollout`).
Out: snapshots, rollouts, residuals.
"""
