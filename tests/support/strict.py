"""`python -m support.strict up ...`: Modelwright whose answers are checked against AWS's models.

What an operation answers and its model refuses (an unknown member, one of the wrong type, a required one left out, a
value outside its enumeration or pattern) becomes a 500, and the server's log says which.
"""

import functools
import sys

from modelwright.cli import main
from modelwright.protocol import serializer

serializer.serialize = functools.partial(serializer.serialize, strict=True)
sys.argv[0] = "modelwright"
main()
