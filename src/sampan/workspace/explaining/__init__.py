"""Why one model is better than another, and whether it can be made again."""
