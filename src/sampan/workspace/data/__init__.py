"""The data room: what comes in, its versions, checks and worth."""
