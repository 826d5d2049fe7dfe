"""No upgrade rewrites anything: today's code over what an earlier version left in Azure and on the bus.

`data/snapshot.json.xz` is the state of all stand-ins with the repository of requests: a catalogue with all
that a catalogue can say, some twenty-five teams in every state that lasts, and messages on their way. It is
data. A test that fails says that this version would rewrite what the version before left behind, or does not
understand it; the snapshot is not made anew for that.

Of the cluster only what was written over its API is compared: what its controllers make of that is the
stand-ins' own, and changes with them.

When a release means to write something (`CHANGELOG.md` says so then, and so does a raised `RULES`, which
costs the fragment's description), the writes are added to those that `upgrade.py` expects.

`snapshot.py` reads and writes such files, `teams.py` says who asks for what, `make_snapshot.py` tells the
story that ends with the snapshot, `upgrade.py` runs a version of the app over it, also that of another
checkout.
"""
