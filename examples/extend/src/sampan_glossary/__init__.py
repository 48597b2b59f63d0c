"""What the words of a project mean: a room, a page and a contract check that Sampan finds by entry points."""
