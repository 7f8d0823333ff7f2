"""mini_docker: Docker's classic architecture as a book that runs."""

VERSION = "0.1.0"
