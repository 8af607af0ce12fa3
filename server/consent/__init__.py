"""The routes to a person. Each ends in `Releases.decide`; none of them is a tool argument."""
