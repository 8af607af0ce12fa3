"""The protocol's own conformance suite, as the judge of the server over http."""
