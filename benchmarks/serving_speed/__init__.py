"""The server beside llama.cpp's and llama-cpp-python's: processes, load, rounds, and the page of what came."""
