"""MLflow's nouns in this graph: what comes from its stores and goes back."""
