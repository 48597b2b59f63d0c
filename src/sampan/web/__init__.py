"""HTTP: the operations as an API, the pages, and the inference server."""
