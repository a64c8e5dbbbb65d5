"""Messages of permessage-deflate by zlib. In: requests on stdin: what, window bits, length, bytes.
Out: `+` or `-`, length, bytes.

Output is taken in bits of at most 64 bytes: so zlib reads what a stream refers to from its window, which
is no larger than it was told, and not from the output.
"""

import struct
import sys
import zlib

STEP = 64


def inflate(stream, payload):
    data = payload + b"\x00\x00\xff\xff"
    out = []
    while data:
        out.append(stream.decompress(data, STEP))
        data = stream.unconsumed_tail
    while more := stream.decompress(b"", STEP):
        out.append(more)
    # At a block's end the stream takes an empty stored block.
    probe = stream.copy()
    if probe.decompress(b"\x01\x00\x00\xff\xff") or not probe.eof:
        raise ValueError("the message ends inside a block")
    return b"".join(out)


def main():
    inflater = deflater = None
    while head := sys.stdin.buffer.read(6):
        what, bits, length = struct.unpack(">cBI", head)
        data = sys.stdin.buffer.read(length)
        status, answer = b"+", b""
        try:
            if what == b"I":
                inflater = zlib.decompressobj(-bits)
            elif what == b"D":
                deflater = zlib.compressobj(6, zlib.DEFLATED, -bits, 8)
            elif what == b"i":
                answer = inflate(inflater, data)
            elif what == b"d":
                answer = deflater.compress(data) + deflater.flush(zlib.Z_SYNC_FLUSH)
                answer = answer[:-4] if data else b"\x00"
        except (zlib.error, ValueError) as error:
            status, answer = b"-", str(error).encode()
        sys.stdout.buffer.write(status + struct.pack(">I", len(answer)) + answer)
        sys.stdout.buffer.flush()


main()
