"""All that speaks to ArcGIS: sign-in, replies, and the few questions that a release needs."""
