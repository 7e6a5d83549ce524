"""Values to plain data and back, refusing everything that is not exactly right.

The one set of rules for stored events and for messages; it knows no event and no message. Plain data is what
msgpack holds: None, bool, int, float, str, bytes, list and dict.
"""

from ployz.strict.converter import make_converter, structure
from ployz.strict.malformed import Malformed, mistakes
from ployz.strict.packing import pack, unpack

__all__ = ["Malformed", "make_converter", "mistakes", "pack", "structure", "unpack"]
