"""Find the pictures of a collection that look most like a given one."""
