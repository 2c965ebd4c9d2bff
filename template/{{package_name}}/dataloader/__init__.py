"""Read data from where it lies and bring it into the object store."""
