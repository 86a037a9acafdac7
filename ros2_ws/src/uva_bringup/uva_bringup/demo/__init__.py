# SPDX-License-Identifier: Apache-2.0
"""The demo: five pushing episodes of the simulated arm over real DDS, recorded and reported.

The stack runs as it does everywhere, as separate processes. The demo only calls its services and
listens: `monitor` and `recorder` while it runs, everything else from the recorded bag afterwards.
"""
