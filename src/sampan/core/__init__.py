"""The nouns: references, nodes, edges, events, digests. Pure: msgspec, blake3 and the standard library only."""
