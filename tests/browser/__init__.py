"""What a person sees and does, in real Chromium."""
