"""What holds when something breaks in the middle."""
