"""What a process does to itself before it runs a program that nobody has read. Nothing here imports the rest."""
