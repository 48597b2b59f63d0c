"""The pages' words in Vietnamese, page by page."""
