"""The media types of images: what a blob says of itself, on a registry's wire and in an archive alike. Words only.

Source: OCI image specification, "OCI Image Media Types"; Docker's "Image Manifest Version 2, Schema 2".
"""

from __future__ import annotations

DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
OCI_GZIP_LAYER = f"{OCI_LAYER}+gzip"
OCI_ZSTD_LAYER = f"{OCI_LAYER}+zstd"
