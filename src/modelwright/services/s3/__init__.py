"""S3: the operations on the embedded store, a module for each of AWS's nouns.

What S3 has and this doesn't (versions, lifecycles, policies, ACLs for others, ...) is refused by name.
"""

from __future__ import annotations

from modelwright.objects.directory import DirectoryStore
from modelwright.services.s3.buckets import Buckets
from modelwright.services.s3.copies import Copies
from modelwright.services.s3.listing import Listing
from modelwright.services.s3.multipart import Multipart
from modelwright.services.s3.objects import Objects
from modelwright.services.s3.tagging import Tagging


def services(store: DirectoryStore) -> list[tuple[str, object]]:
    """What the Dispatcher is made of."""
    return [("s3", kind(store)) for kind in (Buckets, Objects, Copies, Listing, Multipart, Tagging)]
