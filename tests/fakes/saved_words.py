"""The tiny model's tokenizer as a file: without its chat template, which a file cannot hold."""

from fakes.tiny_model import tokenizer


def save_words(path):
    folder = path.parent / f"{path.stem}-folder"
    folder.mkdir()
    tokenizer().save(folder)
    path.write_bytes((folder / "tokenizer.json").read_bytes())
