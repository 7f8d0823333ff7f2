"""The Graph box: images as stacks of layers, their names, and the layers of containers.

Read `layer.py` and `image.py` (the values), `layer_store.py` (layers, counted and verified), `graph.py`
(images, stacked into new ones), `tag_store.py` (names for images), `graphdb.py` (names and links of
containers), `container_layers.py` (the two layers of a container on its image), `commit.py` and `importer.py` (new
images), `image_archive.py` and `image_loader.py` (images in one tar).
"""
