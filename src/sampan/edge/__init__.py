"""Edge: a package's ONNX graph as C99 without dependencies, compiled for boards, run in emulation, held to a budget."""
