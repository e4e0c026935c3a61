"""Files, images, drawings, weight files and hashes. Imports nothing else of the project."""
