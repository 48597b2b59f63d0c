"""Tables in: files and frames to Polars, with everything said that a reader should know."""
