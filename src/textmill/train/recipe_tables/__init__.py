"""The tables of a recipe. Every key is a field here."""
