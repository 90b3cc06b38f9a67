"""GGUF files byte by byte, right or wrong."""

import struct


def text(content):
    data = content.encode() if isinstance(content, str) else content
    return struct.pack("<Q", len(data)) + data


def value(name, value_type, data):
    return text(name) + struct.pack("<I", value_type) + data


def array(value_type, count, data):
    return struct.pack("<IQ", value_type, count) + data


def tensor(name, shape, tensor_type, offset):
    sizes = struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
    return text(name) + sizes + struct.pack("<IQ", tensor_type, offset)


def gguf_file(*values, tensors=(), data=b"", version=3, num_values=None, num_tensors=None, magic=b"GGUF"):
    counts = (
        len(tensors) if num_tensors is None else num_tensors,
        len(values) if num_values is None else num_values,
    )
    header = magic + struct.pack("<IQQ", version, *counts) + b"".join(values) + b"".join(tensors)
    return header + bytes(-len(header) % 32) + data if tensors else header
