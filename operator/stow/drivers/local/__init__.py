"""The local driver: objects in a folder of a POSIX file system. See ``driver.py``."""
