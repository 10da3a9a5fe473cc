"""Small tools that every part of the package may use; they import nothing of it."""
