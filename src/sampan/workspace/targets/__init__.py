"""Forms that packages are given: images, boards, browsers."""
