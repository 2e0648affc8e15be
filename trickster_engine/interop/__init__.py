"""Files of other tools: tt-train's configs and pickles, GGUF, the lesson's token files."""
