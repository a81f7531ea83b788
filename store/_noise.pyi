# Types of `_noise.c`; what the function does is said in noise_plain.py.

from .ids import ChunkId

def noise(buffer: memoryview, chunks: list[tuple[ChunkId, int, int]], /) -> bytes: ...
