"""`xsp <noun> <verb>`: the operator's commands. What is heavy is imported when a command runs: `--help` is quick."""
