# SPDX-License-Identifier: Apache-2.0
"""Find a ROS domain that nobody else on this machine uses: the demo must never enable another arm."""

from __future__ import annotations

import random
import socket
from collections.abc import Mapping

# DDS-RTPS 2.5, 9.6.2.3: a domain's ports start here, this far apart from the next domain's; the first
# participant's unicast port comes this much later. Up to domain 101 they stay below Linux's ephemeral ports.
_PORT_BASE = 7400
_DOMAIN_GAIN = 250
_FIRST_UNICAST_OFFSET = 10
_DOMAINS = range(1, 102)


class NoFreeDomainError(RuntimeError):
    """Every domain is taken; the message is for the user."""


def isolated_environment() -> Mapping[str, str]:
    """Return the variables of a free domain that does not leave this machine.

    Raises:
        NoFreeDomainError: All domains are in use.
    """
    return {"ROS_DOMAIN_ID": str(free_domain_id()), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}


def free_domain_id() -> int:
    """Return a domain on whose first ports nobody listens; drawn at random, so that two demos differ.

    Raises:
        NoFreeDomainError: All domains are in use.
    """
    for domain in random.sample(_DOMAINS, len(_DOMAINS)):
        port = _PORT_BASE + _DOMAIN_GAIN * domain
        if _is_free(port) and _is_free(port + _FIRST_UNICAST_OFFSET):
            return domain
    raise NoFreeDomainError(f"all ROS domains from {_DOMAINS[0]} to {_DOMAINS[-1]} are in use on this machine")


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True
