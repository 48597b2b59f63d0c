"""Kinds of fitted models: how each is saved without pickle, loaded, and turned into an ONNX graph that answers the same."""
