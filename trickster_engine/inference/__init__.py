"""From a folder to a model that generates text."""
