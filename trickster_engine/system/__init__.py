"""What the machine and the terminal are like, and how quantities are written. Nothing here knows of training."""
