"""Files, images, drawings, weight files and hashes. Imports nothing else from the project."""
