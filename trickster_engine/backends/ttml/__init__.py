"""Training on Tenstorrent boards, through ttml."""
