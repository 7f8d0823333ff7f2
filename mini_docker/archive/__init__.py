"""Archive: the packing room. Trees of files go out as tar streams and come in from them again.

Nothing here knows of images, layers' ids, drivers or containers: a tree is a directory, a layer is a tar
stream with whiteouts. Reading order: member, pax, tar_reader, tar_writer, directory_cache, whiteout,
unpack, pack, change, changes, overlay_changes, compression.
"""
