"""arcgis-license-mcp: release offline ArcGIS licenses, when a person says yes."""

__version__ = "0.1.0"
