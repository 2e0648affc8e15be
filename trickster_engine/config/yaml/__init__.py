"""Reading and editing YAML: positions, recovery, and edits that keep the rest of the file."""
