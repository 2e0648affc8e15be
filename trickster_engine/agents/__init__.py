"""The agents' door: what a program that speaks MCP may do here, and where. `trickster mcp` opens it.

Nothing here computes: checks and lists are read in threads, models are used by commands of the command line in
processes of their own, and training is started detached, so that closing the agent ends no run.
"""
