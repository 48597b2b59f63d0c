"""Smaller and faster forms of a model's graph, what they cost, and which of them are worth having. Graphs and arrays in, graphs out."""
