"""Another store of ours comes into this one."""
