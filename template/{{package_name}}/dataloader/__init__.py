"""Read data from its source and put it into the object store."""
