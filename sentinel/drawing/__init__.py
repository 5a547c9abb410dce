"""Pictures: SVG written by hand (`svg`), the same as PNG (`raster`).  What is drawn belongs to the rooms that draw it."""
