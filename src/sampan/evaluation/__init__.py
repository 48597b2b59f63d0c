"""How good a model is and whether that is enough: metrics with intervals, slices, paired tests, objectives and gates."""
