"""How a model comes to be: rows, features, searches, fits."""
