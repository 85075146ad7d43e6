"""What a caller sees and hears, in numbers, one JSON object a line."""

import array
import json
import math
import threading

WIDTH, HEIGHT = 64, 36
RATE = 48_000
_lock = threading.Lock()


def say(**message):
    with _lock:
        print(json.dumps(message), flush=True)


class Eye:
    """Counts frames of 64×36 in RGB, and shows the middle row of some."""

    def __init__(self):
        self.frames = 0

    def frame(self, data, stride):
        self.frames += 1
        if self.frames % 5 == 0:
            start = HEIGHT // 2 * stride
            row = [list(data[at : at + 3]) for at in range(start, start + 3 * WIDTH, 3)]
            say(frames=self.frames, row=row)


class Ear:
    """Measures each half second of 16-bit mono: Hz of a pure tone, and its RMS."""

    def __init__(self):
        self.samples = array.array("h")

    def hear(self, data):
        self.samples.frombytes(data)
        while len(self.samples) >= RATE // 2:
            part, self.samples = self.samples[: RATE // 2], self.samples[RATE // 2 :]
            rises = sum(a < 0 <= b for a, b in zip(part, part[1:]))
            level = math.sqrt(sum(s * s for s in part) / len(part)) / 32_768
            say(pitch=rises * RATE / len(part), level=level)
