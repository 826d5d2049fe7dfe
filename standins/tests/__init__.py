"""The tests of the stand-ins. This runs before any of them, and before the plugin, imports a client
library.
"""

from standins.tests.trust import trust_the_standins

trust_the_standins()
