"""An embedded ArcGIS Enterprise portal, for the demo, for trying things out, and for every test.

It answers on loopback over real HTTP the way the documentation, recorded replies and Esri's own
client say that a portal does, and keeps what it received. Where nobody documents a behaviour it
picks one, and a comment beginning with "Assumption" says so beside it.
"""
