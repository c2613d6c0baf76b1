"""Load driver: runs each case against nginx and Tidegate in turn, counts their CPU seconds."""
