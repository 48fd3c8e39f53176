"""Wire formats: text in, commands out; publications and replies in, bytes out. No I/O."""
