"""The use case: who may have which license released, once, and the proof of it."""
